import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createParser } from 'eventsource-parser';
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';
import { answer } from '../rpc.ts';

/**
 * What Holt is measured against: the same translation, Chat Completions to Responses events, and nothing else. No
 * storage, no validation, no resume, no cancel. The same HTTP client and the same SSE parser as Holt, `node:http`
 * without a framework, the hot line by hand, one joined write per stream and turn of the event loop, back-pressure.
 */

const [upstream = ''] = process.argv.slice(2);
const { origin, pathname } = new URL(upstream);
const path = `${pathname}/chat/completions`;
const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
const HEADERS = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' };

type ChatChunk = {
  choices: { delta: { content?: string | null }; finish_reason: string | null }[];
  usage?: object | null;
};

let ids = 0;

/** One response: bytes of the upstream in, frames out. */
class Relay implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;
  readonly #decoder = new TextDecoder();
  readonly #parser = createParser({ onEvent: ({ data }) => this.#chunk(data) });
  readonly #itemId: string;
  readonly #snapshot: object;
  readonly #head: string;
  #controller: Dispatcher.DispatchController | undefined;
  #sequence = 0;
  #text = '';
  #usage: object | null = null;
  #bytes: Uint8Array[] = [];
  #out = '';
  #ended = false;

  constructor(response: ServerResponse, model: string) {
    this.#response = response;
    ids += 1;
    const id = ids.toString(16).padStart(48, '0');
    this.#itemId = `msg_${id}`;
    this.#snapshot = { id: `resp_${id}`, object: 'response', created_at: Math.floor(Date.now() / 1000), model };
    this.#head = `"item_id":"${this.#itemId}","output_index":0,"content_index":0,"delta":`;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#response.on('close', () => {
      if (!this.#ended) controller.abort(new Error('the client has left'));
    });
  }

  onResponseStart(): void {
    this.#response.writeHead(200, HEADERS);
    const response = { ...this.#snapshot, status: 'in_progress', output: [] };
    this.#event('response.created', { response });
    this.#event('response.in_progress', { response });
    const item = { id: this.#itemId, type: 'message', status: 'in_progress', role: 'assistant', content: [] };
    this.#event('response.output_item.added', { output_index: 0, item });
    this.#event('response.content_part.added', { ...this.#place(), part: this.#part() });
    this.#response.write(this.#out);
    this.#out = '';
  }

  onResponseData(_: Dispatcher.DispatchController, bytes: Uint8Array): void {
    if (this.#bytes.length === 0) soon(this);
    this.#bytes.push(bytes);
  }

  onResponseEnd(): void {
    if (this.#bytes.length > 0) this.turn();
  }

  onResponseError(): void {
    this.#response.destroy();
  }

  /** Once in a turn of the loop: all that came in, in one piece. */
  turn(): void {
    const [first] = this.#bytes;
    if (first === undefined) return;
    const bytes = this.#bytes.length === 1 ? first : Buffer.concat(this.#bytes);
    this.#bytes = [];
    this.#parser.feed(this.#decoder.decode(bytes, { stream: true }));
    const out = this.#out;
    this.#out = '';
    if (this.#ended) this.#response.end(out);
    else if (out !== '' && !this.#response.write(out)) {
      this.#controller?.pause();
      this.#response.once('drain', () => this.#controller?.resume());
    }
  }

  #chunk(data: string): void {
    if (data === '[DONE]') {
      this.#end();
      return;
    }
    const { choices, usage } = JSON.parse(data) as ChatChunk;
    if (usage) this.#usage = usage;
    const delta = choices[0]?.delta.content;
    if (!delta) return;
    this.#text += delta;
    this.#out += `event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":${this.#sequence},${this.#head}${JSON.stringify(delta)},"logprobs":[]}\n\n`;
    this.#sequence += 1;
  }

  #end(): void {
    this.#ended = true;
    const part = this.#part();
    const item = { id: this.#itemId, type: 'message', status: 'completed', role: 'assistant', content: [part] };
    this.#event('response.output_text.done', { ...this.#place(), text: this.#text, logprobs: [] });
    this.#event('response.content_part.done', { ...this.#place(), part });
    this.#event('response.output_item.done', { output_index: 0, item });
    const response = { ...this.#snapshot, status: 'completed', output: [item], usage: this.#usage };
    this.#event('response.completed', { response });
  }

  #place(): object {
    return { item_id: this.#itemId, output_index: 0, content_index: 0 };
  }

  #part(): object {
    return { type: 'output_text', text: this.#text, annotations: [], logprobs: [] };
  }

  #event(type: string, rest: object): void {
    this.#out += `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: this.#sequence, ...rest })}\n\n`;
    this.#sequence += 1;
  }
}

let due: Relay[] = [];

function soon(relay: Relay): void {
  if (due.length === 0) setImmediate(turn);
  due.push(relay);
}

function turn(): void {
  const relays = due;
  due = [];
  for (const relay of relays) relay.turn();
}

async function create(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const { model, input } = JSON.parse(Buffer.concat(parts).toString()) as { model: string; input: string };
  const body = JSON.stringify({
    model,
    messages: [{ role: 'user', content: input }],
    stream: true,
    stream_options: { include_usage: true },
  });
  const headers = { 'content-type': 'application/json', accept: 'text/event-stream' };
  dispatcher.dispatch({ origin, path, method: 'POST', headers, body }, new Relay(response, model));
}

const server = createServer((request, response) => {
  create(request, response).catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', 4096, () => {
  const { port } = server.address() as AddressInfo;
  answer({}, `http://127.0.0.1:${port}`);
});
