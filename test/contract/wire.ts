import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type OpenAI from 'openai';
import { judgeText } from '../support/official.ts';
import { parseFrames } from '../support/sse.ts';
import type { Frame } from '../support/sse.ts';

/** What the contract tests do on the wire: nothing here knows the server's code, only its URL. */

export type Served = { url: string };
export type WireResponse = OpenAI.Responses.Response;

// ---------------------------------------------------------------- requests

export type Answer = { status: number; headers: Headers; text: string };

export async function call(method: string, url: string, init: RequestInit = {}): Promise<Answer> {
  const answer = await fetch(url, { method, ...init });
  const text = await answer.text();
  judgeText(text, { method, url });
  return { status: answer.status, headers: answer.headers, text };
}

export function get(holt: Served, path: string, init?: RequestInit): Promise<Answer> {
  return call('GET', `${holt.url}/v1/${path}`, init);
}

/** @param body sent as it is when it is text or bytes, else as JSON */
export function post(
  holt: Served,
  body: unknown,
  headers: Record<string, string> = {},
  path = 'responses',
): Promise<Answer> {
  return call('POST', `${holt.url}/v1/${path}`, jsonRequest(body, headers));
}

export function jsonRequest(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  };
}

export function cancel(holt: Served, id: string): Promise<Answer> {
  return call('POST', `${holt.url}/v1/responses/${id}/cancel`);
}

export function remove(holt: Served, id: string): Promise<Answer> {
  return call('DELETE', `${holt.url}/v1/responses/${id}`);
}

export function responseIn(answer: Answer): WireResponse {
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
  return JSON.parse(answer.text) as WireResponse;
}

/** Creates and answers the Response of the answer, which has to be a 200. */
export async function create(holt: Served, body: object): Promise<WireResponse> {
  return responseIn(await post(holt, body));
}

export async function poll(holt: Served, id: string): Promise<WireResponse> {
  return responseIn(await get(holt, `responses/${id}`));
}

/** What has to come by itself has this long, ms: a defect fails its test instead of hanging it. */
const PATIENCE_MS = 20_000;

/** Polls, as the guide says, until `wanted` holds; by default until the response has ended. */
export async function pollUntil(
  holt: Served,
  id: string,
  wanted: (response: WireResponse) => boolean = hasEnded,
): Promise<WireResponse> {
  const last = performance.now() + PATIENCE_MS;
  for (;;) {
    const response = await poll(holt, id);
    if (wanted(response)) return response;
    assert.ok(performance.now() < last, `${id} is still ${response.status}: ${JSON.stringify(response.output)}`);
    await sleep(2);
  }
}

export function hasEnded(response: WireResponse): boolean {
  return response.status !== 'queued' && response.status !== 'in_progress';
}

/** What a client shows of an output. */
export function textOf(response: WireResponse): string {
  return response.output
    .flatMap((item) => (item.type === 'message' ? item.content : []))
    .map((part) => (part.type === 'output_text' ? part.text : ''))
    .join('');
}

export type Script = Partial<
  Record<
    'tokens' | 'first_token_ms' | 'interval_ms' | 'reasoning_tokens' | 'fail_after' | 'seed' | 'tool_call',
    number | string
  >
>;

/** A request to the demonstration model; at once and as fast as it can, unless the script says otherwise. */
export function otter(script: Script = {}, over: Record<string, unknown> = {}): Record<string, unknown> {
  const settings = { tokens: 20, first_token_ms: 0, interval_ms: 0, ...script };
  return {
    model: 'otter',
    input: 'Write a very long novel about otters in space.',
    metadata: Object.fromEntries(Object.entries(settings).map(([key, value]) => [`scripted.${key}`, String(value)])),
    ...over,
  };
}

/** A model that says nothing until it is cancelled. */
export const SILENT: Script = { first_token_ms: 3_600_000 };

// ---------------------------------------------------------------- errors

export type ExpectedError = { code?: string | null; param?: string | null; type?: string; message?: string | RegExp };

/** The status, the whole envelope and nothing but the envelope. */
export function assertError(answer: Answer, status: number, expected: ExpectedError = {}): void {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
  const body = JSON.parse(answer.text) as { error: Record<string, unknown> };
  assert.deepEqual(Object.keys(body), ['error']);
  const { error } = body;
  assert.deepEqual(Object.keys(error).toSorted(), ['code', 'message', 'param', 'type']);
  assert.equal(typeof error['message'], 'string');
  assert.notEqual(error['message'], '');
  assert.equal(typeof error['type'], 'string');
  for (const key of ['param', 'code']) {
    assert.ok(error[key] === null || typeof error[key] === 'string', `${key}: ${String(error[key])}`);
  }
  const { message, ...exact } = expected;
  for (const [key, value] of Object.entries(exact)) assert.equal(error[key], value, answer.text);
  if (typeof message === 'string') assert.equal(error['message'], message);
  else if (message !== undefined) assert.match(String(error['message']), message);
}

// ---------------------------------------------------------------- streams

export type { Frame } from '../support/sse.ts';

export function streamUrl(holt: Served, id: string, query = ''): string {
  return `${holt.url}/v1/responses/${id}?stream=true${query}`;
}

/** A reader of one stream that can stop anywhere. */
export class EventReader {
  /** Everything that came in, comments too. */
  text = '';
  readonly status: number;
  readonly headers: Headers;
  readonly #abort: AbortController;
  readonly #body: AsyncIterator<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #read = 0;
  #frames: Frame[] = [];

  private constructor(answer: Response, abort: AbortController) {
    assert.ok(answer.body !== null);
    this.status = answer.status;
    this.headers = answer.headers;
    this.#abort = abort;
    this.#body = answer.body[Symbol.asyncIterator]();
  }

  static async open(url: string, init: RequestInit = {}): Promise<EventReader> {
    const abort = new AbortController();
    const answer = await fetch(url, { ...init, signal: abort.signal });
    if (answer.status !== 200) assert.fail(`${answer.status}: ${await answer.text()}`);
    return new EventReader(answer, abort);
  }

  /** `POST /v1/responses` with `stream: true`. */
  static create(holt: Served, body: object): Promise<EventReader> {
    return EventReader.open(`${holt.url}/v1/responses`, jsonRequest({ ...body, stream: true }));
  }

  /** The next event; undefined at a clean end. Rejects when the connection was cut. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) return frame;
      if (!(await this.more())) return undefined;
    }
  }

  /** Reads on, events or not. False at a clean end. */
  async more(): Promise<boolean> {
    const { done, value } = await this.#body.next();
    if (done === true) {
      assert.equal(this.#read, this.text.length, 'the stream ended inside an event');
      return false;
    }
    this.text += this.#decoder.decode(value, { stream: true });
    const end = this.text.lastIndexOf('\n\n') + 2;
    if (end > this.#read) {
      this.#frames.push(...parseFrames(this.text.slice(this.#read, end)));
      this.#read = end;
    }
    return true;
  }

  /** Events up to and with the first that `last` holds for, or the `last`th. */
  async take(last: number | ((frame: Frame) => boolean)): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (;;) {
      if (frames.length === last) return frames;
      const frame = await this.next();
      if (frame === undefined) assert.fail('the stream ended before');
      frames.push(frame);
      if (typeof last === 'function' && last(frame)) return frames;
    }
  }

  /** The events to the clean end. */
  async rest(): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (let frame = await this.next(); frame !== undefined; frame = await this.next()) frames.push(frame);
    return frames;
  }

  /** Drops the connection. */
  leave(): void {
    this.#abort.abort();
  }
}

export function idIn(frame: Frame | undefined): string {
  return responseOf(frame).id;
}

export function responseOf(frame: Frame | undefined): WireResponse {
  assert.ok(frame !== undefined);
  return frame.data['response'] as WireResponse;
}

const ENDS = new Set(['response.completed', 'response.failed', 'response.incomplete']);

/** Dense numbers, one end, last, and every text told the same way by deltas, `done` events, items and the end. */
export function assertWholeStream(frames: Frame[]): void {
  assert.deepEqual(
    frames.map((frame) => frame.data.sequence_number),
    frames.map((_, index) => index),
  );
  for (const frame of frames) assert.equal(frame.event, frame.data.type);
  assert.deepEqual(
    frames.flatMap((frame, index) => (ENDS.has(frame.event) ? [index] : [])),
    [frames.length - 1],
    'one terminal event, last',
  );
  const { output } = responseOf(frames.at(-1));
  const done = frames.filter((frame) => frame.event === 'response.output_item.done');
  assert.equal(done.length, output.length);
  for (const frame of done) assert.deepEqual(frame.data['item'], output[Number(frame.data['output_index'])]);
  for (const [place, text] of textsByPlace(frames, '.delta', 'delta')) {
    const [item, part, kind] = place.split('/');
    assert.equal(textsByPlace(frames, '.done', 'text', 'refusal', 'arguments', 'input').get(place), text, place);
    assert.equal(textAt(output[Number(item)], String(kind), Number(part)), text, place);
  }
}

/** `output_index/part/kind` -> the text of all such events together. */
function textsByPlace(frames: Frame[], ending: string, ...fields: string[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const { event, data } of frames) {
    const field = fields.find((name) => typeof data[name] === 'string');
    if (!event.endsWith(ending) || field === undefined) continue;
    const part = Number(data['content_index'] ?? data['summary_index'] ?? 0);
    const place = `${Number(data['output_index'])}/${part}/${event.slice(0, -ending.length)}`;
    texts.set(place, (texts.get(place) ?? '') + String(data[field]));
  }
  return texts;
}

function textAt(item: OpenAI.Responses.ResponseOutputItem | undefined, kind: string, part: number): string | undefined {
  if (item?.type === 'function_call') return item.arguments;
  if (item?.type === 'custom_tool_call') return item.input;
  if (item?.type === 'reasoning') {
    return (kind === 'response.reasoning_text' ? item.content : item.summary)?.[part]?.text;
  }
  if (item?.type !== 'message') return undefined;
  const found = item.content[part];
  return found?.type === 'refusal' ? found.refusal : found?.text;
}

// ---------------------------------------------------------------- sockets

/** A client that sees and decides every byte. */
export class RawClient {
  bytes = Buffer.alloc(0);
  readonly socket: Socket;
  /** Resolves when the connection is closed, by whomever. */
  readonly closed: Promise<void>;
  #changed = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.closed = promise;
    socket.on('data', (bytes) => {
      this.bytes = Buffer.concat([this.bytes, bytes]);
      this.#announce();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      resolve();
      this.#announce();
    });
  }

  static async open(holt: Served): Promise<RawClient> {
    const { hostname, port } = new URL(holt.url);
    const socket = connect(Number(port), hostname);
    await once(socket, 'connect');
    socket.setNoDelay(true);
    return new RawClient(socket);
  }

  /** @param head the request line and more headers; `host`, `content-length` and a JSON type are added */
  send(head: string, body: string | Uint8Array = ''): void {
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    const lines = [head, `Host: 127.0.0.1:${this.socket.remotePort}`];
    if (length > 0) lines.push('Content-Type: application/json', `Content-Length: ${length}`);
    this.socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (length > 0) this.socket.write(body);
  }

  /** Resolves when enough has come in, or rejects when the connection closes before. */
  async until(enough: (bytes: Buffer) => boolean): Promise<void> {
    while (!enough(this.bytes)) {
      if (this.socket.destroyed) assert.fail(`closed after ${this.bytes.toString('latin1').slice(0, 500)}`);
      await this.#changed.promise;
    }
  }

  leave(): void {
    this.socket.destroy();
  }

  #announce(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

export type RawAnswer = {
  status: number;
  head: string;
  /** Of a chunked body: every HTTP chunk that came in whole. Else the body. */
  chunks: string[];
  /** The whole body arrived; a cut connection leaves this false. */
  complete: boolean;
};

export function parseAnswer(bytes: Buffer): RawAnswer {
  const headEnd = bytes.indexOf('\r\n\r\n');
  assert.ok(headEnd >= 0, `no head in ${JSON.stringify(bytes.toString('latin1').slice(0, 200))}`);
  const head = bytes.toString('latin1', 0, headEnd);
  const answer: RawAnswer = { status: Number(head.split(' ')[1]), head, chunks: [], complete: false };
  let at = headEnd + 4;
  if (!/^transfer-encoding: chunked$/im.test(head)) {
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
    answer.chunks.push(bytes.toString('utf8', at));
    answer.complete = bytes.length - at === length;
    if (answer.complete) judgeText(answer.chunks.join(''));
    return answer;
  }
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return answer;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const end = lineEnd + 2 + size;
    if (bytes.length < end + 2) return answer;
    if (size === 0) {
      answer.complete = true;
      return answer;
    }
    answer.chunks.push(bytes.toString('utf8', lineEnd + 2, end));
    at = end + 2;
  }
}

// ---------------------------------------------------------------- waiting

/** A bound on what should come by itself, so that a defect fails its test instead of hanging it. */
export async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  const stop = new AbortController();
  const late = sleep(ms, undefined, { signal: stop.signal }).then(() => assert.fail(`${what}: not within ${ms} ms`));
  late.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
  }
}
