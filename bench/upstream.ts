import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { answer } from './rpc.ts';

/**
 * A plain Chat Completions server that streams one HTTP chunk per event, as real ones do. The model's name is the
 * plan, written as a query: `rate=50&events=400&first=30&gate=a`.
 *   events  content chunks of the answer
 *   rate    of them a second; 0: flat out, as fast as the reader takes them
 *   first   ms until the first
 *   gate    the stream waits, after its headers, until the benchmark opens the gate of that name
 */

type Plan = { rate: number; events: number; first: number; gate: string };
type Stream = { socket: Socket; response: ServerResponse; plan: Plan; sent: number; due: number };

const CRLF = '\r\n';
const WORDS = `The a of and to in is it that for as with on are this be by an or from ing ed er s ly tion re un con
  model stream token event log server river otter paw stone space orbit signal answer question because however
  therefore between without another something, example. Finally, First, Second, number value result return`.split(
  /\s+/,
);
/** Now and then what makes encoders work: quotes, line ends, characters beyond ASCII. */
const RARE = ['\\n\\n', ' \\"', '\\"', ' —', '’s', ' é', ':\\n- ', ' 42'];

function frame(data: string): Buffer {
  const body = Buffer.from(`data: ${data}\n\n`);
  return Buffer.concat([Buffer.from(body.length.toString(16) + CRLF), body, Buffer.from(CRLF)]);
}

function chunk(delta: string, finish = 'null', usage = 'null'): Buffer {
  return frame(
    `{"id":"chatcmpl-7f3b2c9e8d5a4b1f9c6e2d8a7b5c4f3e","object":"chat.completion.chunk","created":1764012345,"model":"bench-large","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}],"usage":${usage}}`,
  );
}

function word(index: number): string {
  if (index % 23 === 22) return RARE[Math.floor(index / 23) % RARE.length] ?? '';
  return ` ${WORDS[(index * 31) % WORDS.length]}`;
}

/** A ring of different chunks, made once: this process should cost next to nothing. */
const RING = Array.from({ length: 512 }, (_, index) => chunk(`{"content":"${word(index)}"}`));
const ROLE = chunk('{"role":"assistant","content":""}');
/** Flat out, one write holds this many events; each stays an HTTP chunk of its own. */
const BATCH = 32;
const BATCHES = Array.from({ length: RING.length / BATCH }, (_, index) =>
  Buffer.concat(RING.slice(index * BATCH, (index + 1) * BATCH)),
);

function ending(plan: Plan): Buffer {
  const usage = `{"prompt_tokens":20,"completion_tokens":${plan.events},"total_tokens":${plan.events + 20}}`;
  return Buffer.concat([chunk('{}', '"stop"'), chunk('{}', 'null', usage), frame('[DONE]')]);
}

const gates = new Map<string, Stream[]>();
/** Sorted by `due`, ms. */
const paced: Stream[] = [];
let ticking = false;

function begin(stream: Stream): void {
  const { plan } = stream;
  const go = (): void => {
    stream.socket.write(ROLE);
    if (plan.rate === 0) pour(stream);
    else schedule(stream);
  };
  if (plan.first > 0) setTimeout(go, plan.first);
  else go();
}

function end(stream: Stream): void {
  stream.socket.write(ending(stream.plan));
  stream.response.end();
}

function pour(stream: Stream): void {
  const { socket, plan } = stream;
  while (stream.sent < plan.events && !socket.destroyed) {
    const batch = plan.events - stream.sent >= BATCH ? BATCHES[(stream.sent / BATCH) % BATCHES.length] : undefined;
    const bytes = batch ?? Buffer.concat(RING.slice(0, plan.events - stream.sent));
    stream.sent += batch === undefined ? plan.events - stream.sent : BATCH;
    if (!socket.write(bytes) && stream.sent < plan.events) {
      socket.once('drain', () => pour(stream));
      return;
    }
  }
  if (!socket.destroyed) end(stream);
}

function schedule(stream: Stream): void {
  const { first, rate } = stream.plan;
  // Streams that a gate lets go together don't beat together.
  stream.due = performance.now() + (first > 0 ? 0 : (Math.random() * 1000) / rate);
  insert(stream);
  if (!ticking) tick();
}

function insert(stream: Stream): void {
  let at = paced.length;
  while (at > 0 && (paced[at - 1]?.due ?? 0) > stream.due) at -= 1;
  paced.splice(at, 0, stream);
}

function tick(): void {
  const now = performance.now();
  for (let stream = paced[0]; stream !== undefined && stream.due <= now; stream = paced[0]) {
    paced.shift();
    if (stream.socket.destroyed) continue;
    stream.socket.write(RING[stream.sent % RING.length] ?? '');
    stream.sent += 1;
    stream.due += 1000 / stream.plan.rate;
    if (stream.sent === stream.plan.events) end(stream);
    else insert(stream);
  }
  ticking = paced.length > 0;
  if (ticking) setTimeout(tick, 1);
}

function readPlan(model: string): Plan {
  const fields = new URLSearchParams(model);
  const number = (name: string): number => Number(fields.get(name) ?? 0);
  return { rate: number('rate'), events: number('events'), first: number('first'), gate: fields.get('gate') ?? '' };
}

async function complete(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const { model } = JSON.parse(Buffer.concat(parts).toString()) as { model: string };
  const plan = readPlan(model);
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'transfer-encoding': 'chunked' });
  response.flushHeaders();
  const { socket } = response;
  if (socket === null) return;
  // Chunks go to the socket ready-made, behind the headers.
  const stream: Stream = { socket, response, plan, sent: 0, due: 0 };
  if (plan.gate === '') {
    begin(stream);
    return;
  }
  const waiting = gates.get(plan.gate) ?? [];
  gates.set(plan.gate, waiting);
  waiting.push(stream);
}

const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) => {
  complete(request, response).catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', 4096, () => {
  const { port } = server.address() as AddressInfo;
  answer(
    {
      waiting: ({ gate }: { gate: string }) => (gates.get(gate) ?? []).filter(({ socket }) => !socket.destroyed).length,
      open: ({ gate }: { gate: string }) => {
        const streams = gates.get(gate) ?? [];
        gates.delete(gate);
        for (const stream of streams) begin(stream);
      },
    },
    `http://127.0.0.1:${port}/v1`,
  );
});
