import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { Receiver } from '../support/webhook-receiver.ts';

/** Logs at their most talkative, and metrics: every request is there, and no word of what anybody sent. */

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const pick = (from: string, count: number): string =>
  Array.from({ length: count }, () => from[randomInt(from.length)]).join('');

/** Every unmistakable word that was sent, by where. */
const secrets = new Map<string, string>();

/** A word of its own for each place. It is short enough for a JSON parser that stumbles over it to quote all of it. */
function secret(place: string): string {
  const word = secrets.get(place) ?? pick(LETTERS, 20);
  secrets.set(place, word);
  return word;
}

/** Pieces of 12 bytes of secrets that are in the text, with their places. */
function leaks(text: string): string[] {
  return [...secrets].flatMap(([place, word]) =>
    Array.from({ length: word.length - 11 }, (_, at) => word.slice(at, at + 12))
      .filter((piece) => text.includes(piece))
      .map((piece) => `${place}: ${piece}`),
  );
}

type Line = { level: number; msg: string } & Record<string, unknown>;

function linesOf(holt: HoltProcess): Line[] {
  return holt
    .errors()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

/** Sends requests, and counts them. */
class Client {
  sent = 0;
  readonly #holt: HoltProcess;

  constructor(holt: HoltProcess) {
    this.#holt = holt;
  }

  async ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<string> {
    this.sent += 1;
    const answer = await fetch(`${this.#holt.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${secret('API key')}`, 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return answer.text();
  }

  create(model: string, over: object = {}): Promise<string> {
    return this.ask('POST', '/v1/responses', { ...request(), model, ...over });
  }

  async raw(bytes: string): Promise<void> {
    this.sent += 1;
    const socket = connect(Number(new URL(this.#holt.url).port), '127.0.0.1');
    socket.resume().end(bytes);
    await once(socket, 'close');
  }

  async waitForEnd(id: string): Promise<void> {
    assert.match(await this.ask('GET', `/v1/responses/${id}?wait=20`), /"status":"(completed|failed|incomplete)"/);
  }
}

const ID = /"id":"(resp_[0-9a-f]{50})"/;
const idIn = (text: string): string => ID.exec(text)?.[1] ?? assert.fail(text);

function request(): object {
  return {
    instructions: secret('instructions'),
    metadata: { [secret('metadata key')]: secret('metadata') },
    user: secret('user'),
    safety_identifier: secret('safety identifier'),
    prompt_cache_key: secret('cache key'),
    tools: [
      {
        type: 'function',
        name: secret('tool'),
        description: secret('tool description'),
        parameters: { type: 'object', properties: { [secret('tool parameter')]: { type: 'string' } } },
      },
    ],
    input: [{ role: 'user', content: secret('prompt') }],
  };
}

let upstream: Upstream;
let receiver: Receiver;
let data: string;
before(async () => {
  [upstream, receiver, data] = await Promise.all([startUpstream(), Receiver.start(), temporaryDirectory()]);
  receiver.react = () => 500;
  const quote = { error: { message: `I will not answer ${secret('prompt')}`, code: secret('upstream code') } };
  const refusal = (status: number): object => ({ reply: { status, body: quote } });
  await upstream.script('refusing', refusal(400));
  await upstream.script('failing', refusal(500));
  await upstream.script('busy', refusal(429));
  await upstream.script('page', { reply: { status: 502, body: `<html>${secret('prompt')}` } });
  await upstream.script('broken', [{ send: `data: {"a": ${secret('answer')}\n\n` }, { end: true }]);
  await upstream.script('late', [{ delta: { content: secret('answer') } }, { chunk: quote }, { end: true }]);
  await upstream.script('lost', [{ delta: { content: secret('answer') } }, { reset: true }]);
  await upstream.script('half', [{ delta: { content: secret('answer') } }, { gate: 'never' }]);
  await upstream.script('plain', [{ delta: { content: secret('answer') } }, { finish: 'stop' }, { done: true }]);
});
after(async () => {
  await receiver[Symbol.asyncDispose]();
  await upstream.stop();
  await rm(data, { recursive: true, force: true });
});

async function spawnTalkative(): Promise<HoltProcess> {
  const config = join(data, 'holt.yaml');
  await writeFile(config, 'webhooks: { allow_http: true, allow_private: true }\n');
  return spawnHolt({
    data,
    flags: ['--config', config, '--log-level', 'debug', '--upstream', upstream.url],
    env: {
      HOLT_API_KEY: secret('API key'),
      HOLT_UPSTREAM_API_KEY: secret('upstream key'),
      HOLT_SECRET: secret('seal'),
    },
  });
}

async function makeEndpoints(client: Client): Promise<void> {
  for (const url of [receiver.url(`/${secret('webhook path')}`), `http://127.0.0.1:1/?${secret('webhook query')}`]) {
    const endpoint = { name: secret('webhook name'), url, event_types: ['response.completed', 'response.failed'] };
    const { signing_secret } = JSON.parse(await client.ask('POST', '/v1/webhook_endpoints', endpoint)) as {
      signing_secret: string;
    };
    secrets.set(`signing secret of ${url}`, signing_secret.slice('whsec_'.length));
  }
}

/** What upstreams refuse, break off and answer. The client is told what they said, so that it can be found. */
async function askUpstreams(client: Client): Promise<void> {
  for (const model of ['refusing', 'failing', 'busy', 'late']) {
    assert.match(await client.create(model), new RegExp(secret('prompt')), model);
  }
  for (const model of ['page', 'broken', 'lost', 'plain', secret('model')]) await client.create(model);
  for (const model of ['refusing', 'late', 'plain']) {
    await client.waitForEnd(idIn(await client.create(model, { background: true })));
  }
  await client.create('plain', { stream: true });
  await client.ask('POST', '/v1/responses/compact', { model: 'refusing', input: secret('prompt') });
}

/** What can't be read, found or done. */
async function askWrongly(client: Client): Promise<void> {
  const file = { type: 'input_file', filename: secret('file name'), file_data: `data:a/b;base64,${secret('file')}` };
  await client.create('plain', { input: [{ role: 'user', content: [file] }] });
  await client.create('plain', { [secret('unknown key')]: secret('unknown value') });
  await client.create('plain', { temperature: secret('temperature') });
  await client.create('plain', { previous_response_id: secret('previous id') });
  assert.match(await client.ask('POST', '/v1/responses', secret('bad JSON')), /could not parse/);
  const keyed = { 'idempotency-key': secret('idempotency key') };
  for (const input of [secret('first of a key'), secret('first of a key'), secret('another of a key'), undefined]) {
    await client.ask('POST', '/v1/responses', { model: 'plain', input, background: true }, keyed);
  }
  await client.ask('GET', '/v1/models', undefined, { authorization: `Bearer ${secret('wrong key')}` });
  await client.ask('GET', '/v1/models', undefined, { 'x-client-request-id': secret('client id') });
  await client.ask('GET', `/v1/models/${secret('model in path')}`);
  await client.ask('GET', `/${secret('path')}?${secret('query')}=1`);
  await client.ask('GET', `/%zz${secret('bad path')}`);
  await client.ask('GET', `/v1/responses/${secret('id')}?${secret('query')}=${secret('query value')}`);
  await client.raw(`${secret('no HTTP')}\r\n\r\n`);
  await client.ask('POST', '/v1/conversations', {
    metadata: { topic: secret('conversation') },
    items: [{ type: 'message', role: 'user', content: secret('conversation item') }],
    [secret('unknown key')]: 1,
  });
}

test('no piece of what clients, upstreams and operators keep to themselves is in logs or metrics', async () => {
  const first = await spawnTalkative();
  const client = new Client(first);
  await makeEndpoints(client);
  await askUpstreams(client);
  await askWrongly(client);
  const plain = idIn(await client.create('plain', { background: true, stream: true }));
  const other = idIn(await client.create('plain', { background: true }));
  await client.waitForEnd(other);
  const half = idIn(await client.create('half', { background: true }));
  const lost = idIn(await client.create('half', { background: true }));
  while (!(await client.ask('GET', `/v1/responses/${half}`)).includes(secret('answer')));
  await receiver.until(({ length }) => length > 2, 'webhooks');
  const metrics = [await client.ask('GET', '/metrics')];
  await first.kill();

  // Damage that quotes: what is stored can't be parsed.
  const db = new DatabaseSync(join(data, 'holt.db'));
  const broken = Buffer.from(secret('answer'));
  for (const id of [plain, other]) db.prepare('update response set snapshot = ? where id = ?').run(broken, id);
  db.prepare('update chunk set body = ? where n = 0 and response_no = (select no from response where id = ?)').run(
    broken,
    lost,
  );
  db.close();
  const second = await spawnTalkative();
  const later = new Client(second);
  await later.ask('GET', `/v1/responses/${plain}?stream=true`).catch(() => 'cut, as nothing can be read');
  assert.match(await later.create('plain', { previous_response_id: other }), /error/);
  await later.waitForEnd(half);
  metrics.push(await later.ask('GET', '/metrics'));
  await second.stop();

  const firstLines = linesOf(first);
  const lines = [...firstLines, ...linesOf(second)];
  assert.ok(secrets.size > 30);
  for (const text of [first.errors(), second.errors(), ...metrics]) assert.deepEqual(leaks(text), []);
  assert.ok(metrics.every((text) => text.includes('holt_responses_ended_total{')));

  const answered = lines.filter(({ msg }) => msg === 'request');
  // The scrape that was the last before the kill may not have been written down.
  const missing = client.sent + later.sent - answered.length;
  assert.ok(missing === 0 || missing === 1, `${missing} requests are not in the log`);
  for (const line of answered) checkRequestLine(line);
  for (const line of lines) {
    const about = line['request_id'] ?? line['response_id'] ?? line['webhook_id'];
    assert.ok(about !== undefined || line.msg === 'swept', JSON.stringify(line));
  }
  const told = new Set(lines.map(({ msg }) => msg));
  for (const msg of [
    'upstream failed; trying again',
    'a provider failed',
    'the upstream refused a request',
    'the upstream connection failed',
    'ignored unknown parameters',
    'a webhook was not taken',
    'recovering a response',
    'the log of this response is damaged; it is ended',
    'a stream could not go on',
    'a request failed',
  ]) {
    assert.ok(told.has(msg), `nothing was said of: ${msg}`);
  }
  const parsing = lines.find(({ msg }) => msg === 'a stream could not go on');
  assert.match(JSON.stringify(parsing?.['err']), /^\{"type":"SyntaxError",/);
  assert.ok(lines.some(({ msg, response_id: id }) => msg === 'request' && id === half));
});

/** What a line of a request may hold. */
const FIELDS: Record<string, RegExp> = {
  level: /^30$/,
  time: /^".*Z"$/,
  name: /^"holt"$/,
  msg: /^"request"$/,
  method: /^"(GET|POST)"$/,
  route: /^"(unknown|\/[\w/:*.]+)"$/,
  status: /^(\d{3}|null)$/,
  duration_ms: /^\d+$/,
  request_id: /^"req_[0-9a-f]{32}"$/,
  response_id: /^"resp_[0-9a-f]{50}"$/,
  error: /^"\w+"$/,
  cut: /^true$/,
};

function checkRequestLine(line: Line): void {
  assert.ok(line['request_id'] !== undefined && line['route'] !== undefined && line['status'] !== undefined);
  for (const [key, value] of Object.entries(line)) {
    assert.match(JSON.stringify(value), FIELDS[key] ?? assert.fail(`${key} in ${JSON.stringify(line)}`));
  }
}
