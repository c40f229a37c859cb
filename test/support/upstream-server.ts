import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { json } from 'node:stream/consumers';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { agentSteps } from './upstream-agent.ts';
import { DEFAULT_SCRIPT } from './upstream-script.ts';
import type { RecordedRequest, Reply, Script, Step, Tear } from './upstream-script.ts';

/**
 * The scripted Chat Completions server, a process of its own (started by upstream.ts), so that what it costs and
 * when it stalls is not the business of the process under test. Two ports: the API, and the control of the scripts.
 */

type Running = { request: IncomingMessage; response: ServerResponse; record: RecordedRequest };

const scripts = new Map<string, Script>();
const served = new Map<string, number>();
const records: RecordedRequest[] = [];
/** Gates are latches: once open they stay open. */
const openGates = new Set<string>();
const reachedGates = new Set<string>();
let changed = Promise.withResolvers<void>();

function announce(): void {
  changed.resolve();
  changed = Promise.withResolvers<void>();
}

async function until<T>(find: () => T | undefined): Promise<T> {
  for (;;) {
    const { promise } = changed;
    const found = find();
    if (found !== undefined) return found;
    await promise;
  }
}

function open(gate: string): void {
  openGates.add(gate);
  announce();
}

async function pass(gate: string): Promise<void> {
  reachedGates.add(gate);
  announce();
  await until(() => (openGates.has(gate) ? true : undefined));
}

// ---------------------------------------------------------------- the API

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.socket?.setNoDelay(true);
  if (request.method === 'GET' && request.url === '/v1/models') {
    const data = [...scripts.keys()].map((id) => ({ id, object: 'model', created: 1_700_000_000, owned_by: 'script' }));
    sendReply(response, { status: 200, body: { object: 'list', data } });
    return;
  }
  if (request.method !== 'POST' || request.url !== '/v1/chat/completions') {
    sendReply(response, { status: 404, body: { detail: 'Not Found' } });
    return;
  }
  const running = await record(request, response);
  const { model } = running.record;
  const script = scripts.get(model) ?? DEFAULT_SCRIPT;
  const place = served.get(model) ?? 0;
  served.set(model, place + 1);
  if (script.headersGate !== undefined) await pass(script.headersGate);
  const reply = script.first?.[place] ?? script.reply;
  if (reply !== undefined) {
    sendReply(response, reply);
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', ...script.headers });
  response.flushHeaders();
  const { agent, steps = [] } = script;
  await play(agent === undefined ? steps : agentSteps(agent, running.record.body), running);
}

async function record(request: IncomingMessage, response: ServerResponse): Promise<Running> {
  const body = (await json(request)) as Record<string, unknown>;
  const entry: RecordedRequest = {
    model: String(body['model']),
    method: request.method ?? '',
    path: request.url ?? '',
    headers: request.headers,
    body,
    port: request.socket.remotePort ?? 0,
    closedBy: null,
  };
  response.on('close', () => {
    if (!response.writableFinished) entry.closedBy ??= 'client';
    announce();
  });
  records.push(entry);
  announce();
  return { request, response, record: entry };
}

function sendReply(response: ServerResponse, reply: Reply): void {
  const body = typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body ?? '');
  const type = typeof reply.body === 'string' ? 'text/plain' : 'application/json';
  response.writeHead(reply.status, { 'content-type': type, ...reply.headers });
  response.end(body);
}

async function play(steps: readonly Step[], running: Running): Promise<void> {
  let tear: Tear = 'none';
  for (const step of steps) {
    if (running.response.destroyed) return;
    if ('tear' in step) tear = step.tear;
    else if ('gate' in step) await pass(step.gate);
    else if ('release' in step) open(step.release);
    else if ('delayMs' in step) await sleep(step.delayMs);
    else if ('tokens' in step) await generate(step, running.response);
    else if ('reset' in step) return reset(running);
    else if ('end' in step) break;
    else await write(bytesOf(step), tear, running.response);
    if ('doneButOpen' in step) return;
    if ('done' in step) break;
  }
  running.response.end();
}

function reset(running: Running): void {
  running.record.closedBy = 'server';
  running.request.socket.resetAndDestroy();
}

type Sending = Exclude<
  Step,
  | { tear: Tear }
  | { gate: string }
  | { release: string }
  | { delayMs: number }
  | { tokens: number }
  | { reset: true }
  | { end: true }
>;

function bytesOf(step: Sending): Buffer {
  if ('send' in step) return Buffer.from(step.send);
  if ('bytes' in step)
    return typeof step.bytes === 'string' ? Buffer.from(step.bytes, 'base64') : Buffer.from(step.bytes);
  if ('chunk' in step) return line(step.chunk);
  if ('delta' in step) return line(chunk({ delta: step.delta, finish_reason: null, ...step.choice }));
  if ('finish' in step)
    return line({ ...chunk({ delta: {}, finish_reason: step.finish }), ...(step.usage && { usage: step.usage }) });
  return Buffer.from('data: [DONE]\n\n');
}

function line(value: object): Buffer {
  return Buffer.from(`data: ${JSON.stringify(value)}\n\n`);
}

function chunk(choice: object): object {
  return {
    id: 'chatcmpl-script',
    object: 'chat.completion.chunk',
    created: 1_700_000_000,
    model: 'script',
    choices: [{ index: 0, ...choice }],
  };
}

async function write(bytes: Buffer, tear: Tear, response: ServerResponse): Promise<void> {
  let start = 0;
  for (const cut of [...cuts(bytes, tear), bytes.length]) {
    if (response.destroyed) return;
    if (cut === start) continue;
    if (!response.write(bytes.subarray(start, cut))) await drained(response);
    // A turn of the loop in between, or the kernel would join them again.
    if (tear !== 'none') await nextTurn();
    start = cut;
  }
}

function* cuts(bytes: Buffer, tear: Tear): Generator<number> {
  for (let place = 1; place < bytes.length; place += 1) {
    const before = bytes[place - 1] ?? 0;
    const here = bytes[place] ?? 0;
    if (tear === 'bytes') yield place;
    else if (tear === 'utf8' && (here & 0xc0) === 0x80) yield place;
    else if (tear === 'crlf' && before === 0x0d && here === 0x0a) yield place;
    else if (
      tear === 'data' &&
      ['da', 'data:'].some((head) => bytes.toString('latin1', Math.max(0, place - head.length), place) === head)
    )
      yield place;
  }
}

async function generate(step: Extract<Step, { tokens: number }>, response: ServerResponse): Promise<void> {
  const text = step.text ?? ' token';
  const bytes = step.bare === true ? Buffer.from(text) : line(chunk({ delta: { content: text }, finish_reason: null }));
  const interval = step.intervalMs ?? 0;
  const begun = performance.now();
  for (let sent = 0; sent < step.tokens && !response.destroyed; sent += 1) {
    const late = performance.now() - begun - sent * interval;
    // A timer is coarser than a token: what is late is sent in one go.
    if (interval > 0 && late < 0) await sleep(-late);
    if (!response.write(bytes)) await drained(response);
  }
}

async function drained(response: ServerResponse): Promise<void> {
  const stop = new AbortController();
  const { signal } = stop;
  try {
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]);
  } finally {
    stop.abort();
  }
}

// ---------------------------------------------------------------- control

const controls: Record<string, (args: Record<string, unknown>) => unknown> = {
  script: ({ model, script }) => {
    scripts.set(String(model), script as Script);
    served.delete(String(model));
  },
  requests: ({ model }) => requestsFor(model),
  request: ({ model, n }) => until(() => requestsFor(model)[Number(n) - 1]),
  close: ({ model, n }) =>
    until(() => {
      const found = requestsFor(model)[Number(n) - 1];
      return found?.closedBy === 'client' ? found : undefined;
    }),
  gate: ({ name }) => until(() => (reachedGates.has(String(name)) ? true : undefined)),
  release: ({ name }) => {
    open(String(name));
  },
};

function requestsFor(model: unknown): RecordedRequest[] {
  return model === undefined ? records : records.filter((entry) => entry.model === model);
}

async function control(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const verb = controls[request.url?.replace('/__control/', '') ?? ''];
  if (verb === undefined) {
    sendReply(response, { status: 404, body: { error: `no control ${request.url}` } });
    return;
  }
  const answer = await verb((await json(request)) as Record<string, unknown>);
  sendReply(response, { status: 200, body: { answer: answer ?? null } });
}

// ---------------------------------------------------------------- start

function answering(work: (request: IncomingMessage, response: ServerResponse) => Promise<void>): RequestListener {
  return (request, response) => {
    work(request, response).catch((error: unknown) => {
      process.stderr.write(`scripted upstream: ${String(error)}\n`);
      response.destroy();
    });
  };
}

function createApi(tls: boolean): Server {
  if (!tls) return createHttpServer(answering(serve));
  const file = (name: string): Buffer => readFileSync(new URL(`tls/${name}`, import.meta.url));
  return createHttpsServer({ cert: file('cert.pem'), key: file('key.pem') }, answering(serve));
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const api = createApi(process.argv.includes('--tls'));
const ports = { api: await listen(api), control: await listen(createHttpServer(answering(control))) };
process.once('disconnect', () => process.exit(0));
process.send?.(ports);
