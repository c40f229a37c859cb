import assert from 'node:assert/strict';
import type { Response } from '../../server/src/protocol/response.ts';
import type { Witness } from '../support/history.ts';
import { History, isTerminal } from '../support/history.ts';
import { judgeText } from '../support/official.ts';
import { parseFrames } from '../support/sse.ts';
import type { Frame } from '../support/sse.ts';

/** Clients that note every byte, and for which a dead server is nothing special. */

/** The server was not there, or went away before its answer was complete. */
export class ServerGone extends Error {}

export type Answer = { status: number; body: string };

export async function call(url: string, init?: RequestInit): Promise<Answer> {
  const answer = await reach(url, init);
  const body = await answer.text().catch((cause: unknown) => {
    throw new ServerGone(url, { cause });
  });
  judgeText(body, { method: init?.method ?? 'GET', url });
  return { status: answer.status, body };
}

function reach(url: string, init?: RequestInit): Promise<globalThis.Response> {
  return fetch(url, init).catch((cause: unknown) => {
    throw new ServerGone(url, { cause });
  });
}

export function post(body: object, headers: Record<string, string> = {}): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  };
}

export function request(scripted: Record<string, string | number>, more: object = {}): object {
  const metadata = Object.fromEntries(Object.entries(scripted).map(([key, value]) => [`scripted.${key}`, `${value}`]));
  return { model: 'otter', input: 'Tell me about otters.', background: true, metadata, ...more };
}

export function urlOf(base: string, id: string): string {
  return `${base}/v1/responses/${id}`;
}

export function streamUrl(base: string, id: string, after = -1): string {
  return `${urlOf(base, id)}?stream=true${after < 0 ? '' : `&starting_after=${after}`}`;
}

export type Follow = {
  onId?: (id: string) => void;
  onFrame?: (frame: Frame) => void;
  signal?: AbortSignal;
};

/**
 * Reads a stream as it comes. `closed` means that it ended as HTTP has it, which needs a terminal event or a cursor at
 * the end; ServerGone, that the connection was cut or never made; a number, that there was no stream.
 */
export async function follow(
  url: string,
  init: RequestInit | undefined,
  { onId, onFrame }: Follow,
): Promise<'closed' | number | ServerGone> {
  let answer: globalThis.Response;
  try {
    answer = await reach(url, init);
  } catch (error) {
    if (error instanceof ServerGone) return error;
    throw error;
  }
  if (answer.status !== 200) {
    judgeText(await answer.text().catch(() => ''), { method: init?.method ?? 'GET', url });
    return answer.status;
  }
  onId?.(answer.headers.get('x-response-id') ?? '');
  let last: Frame | undefined;
  try {
    let text = '';
    for await (const piece of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += piece;
      const end = text.lastIndexOf('\n\n') + 2;
      if (end < 2) continue;
      for (const frame of parseFrames(text.slice(0, end))) {
        last = frame;
        onFrame?.(frame);
      }
      text = text.slice(end);
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    return new ServerGone(url, { cause: error });
  }
  assert.ok(last === undefined || isTerminal(last), `a stream was closed cleanly after ${last?.text}`);
  return 'closed';
}

export async function get(base: string, id: string): Promise<Response> {
  const { status, body } = await call(urlOf(base, id));
  assert.equal(status, 200, body);
  return JSON.parse(body) as Response;
}

/** Forgotten: no verb knows it any more. */
export async function checkGone(base: string, id: string): Promise<void> {
  const url = urlOf(base, id);
  const tries: [string, RequestInit?][] = [
    [url],
    [streamUrl(base, id)],
    [`${url}/input_items`],
    [`${url}/cancel`, { method: 'POST' }],
    [url, { method: 'DELETE' }],
  ];
  for (const [url, init] of tries) {
    const { status, body } = await call(url, init);
    assert.equal(status, 404, `${init?.method ?? 'GET'} ${url}: ${body}`);
  }
}

export function hasEnded({ status }: Response): boolean {
  return status !== 'queued' && status !== 'in_progress';
}

/** Polls, at a pace, until the response has ended. */
export async function poll(
  base: string,
  id: string,
  witness: Pick<Witness, 'snapshot'>,
  paceMs = 20,
): Promise<Response> {
  for (;;) {
    const response = await get(base, id);
    witness.snapshot(response);
    if (hasEnded(response)) return response;
    await new Promise((resolve) => setTimeout(resolve, paceMs));
  }
}

/** The log as a GET streams it, from its beginning to its end, which it waits for. */
export async function wholeLog(base: string, id: string): Promise<Frame[]> {
  const log: Frame[] = [];
  const end = await follow(streamUrl(base, id), undefined, { onFrame: (frame) => log.push(frame) });
  if (end !== 'closed') throw new Error(`${id} can not be read to its end: ${String(end)}`, { cause: end });
  return log;
}

/** Waits for the end of a response that can be streamed, and compares it with what was seen of it. */
export async function checkStreamed(base: string, history: History): Promise<Response> {
  const log = await wholeLog(base, history.id);
  const final = await get(base, history.id);
  history.check(log, final);
  return final;
}

// ---------------------------------------------------------------- streams that are left open

export type Streaming = { history: History; end: ReturnType<typeof follow> };

/** Creates a response and reads its stream. Resolves at the first frame that is `enough`, and reads on. */
export async function startStream(
  base: string,
  scripted: Record<string, string | number>,
  enough: (frame: Frame) => boolean,
): Promise<Streaming> {
  const reached = Promise.withResolvers<void>();
  let history = new History('');
  let witness = history.witness();
  const end = follow(`${base}/v1/responses`, post(request(scripted, { stream: true })), {
    onId: (id) => {
      history = new History(id);
      witness = history.witness();
    },
    onFrame: (frame) => {
      witness.frame(frame);
      if (enough(frame)) reached.resolve();
    },
  });
  void end.then((how) => {
    reached.reject(new Error(`the stream of ${history.id} was over too early: ${String(how)}`));
  }, reached.reject);
  await reached.promise;
  return { history, end };
}

export function began({ event }: Frame): boolean {
  return event === 'response.in_progress';
}

export function isNumber(wanted: number): (frame: Frame) => boolean {
  return ({ data }) => data.sequence_number === wanted;
}
