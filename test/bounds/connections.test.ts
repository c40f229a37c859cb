import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import {
  EventReader,
  RawClient,
  assertError,
  create,
  get,
  idIn,
  otter,
  parseAnswer,
  pollUntil,
} from '../contract/wire.ts';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';

/** What a connection may take: requests that trickle in, clients that take nothing of their answer, crowds. */

const KIB = 1024;

let upstream: Upstream;
let holt: TestHolt;
before(async () => {
  upstream = await startUpstream();
  holt = await startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => {
      config.server.headers_timeout = 300;
      config.server.request_timeout = 600;
      config.server.stall_timeout = 400;
      config.limits.output_bytes = 1024 * KIB * KIB;
      config.worker.concurrency = 1;
      config.providers['demo'] = { kind: 'scripted' };
      config.models['otter'] = { provider: 'demo' };
    },
    overrides: { keepAliveMs: 50 },
  });
});
after(async () => {
  await holt.stop();
  await upstream.stop();
});

const LATE = {
  type: 'invalid_request_error',
  code: 'request_timeout',
  message:
    'The request was not complete in time: this server waits 0.3 seconds for the headers of a request, and 0.6 seconds for all of it.',
};

function assertLate(client: RawClient): void {
  const { status, head, chunks, complete } = parseAnswer(client.bytes);
  const headers = new Headers(
    head
      .split('\r\n')
      .slice(1)
      .map((line) => line.split(': ') as [string, string]),
  );
  assert.ok(complete);
  assertError({ status, headers, text: chunks.join('') }, 408, LATE);
  assert.equal(headers.get('x-should-retry'), 'true', 'nothing of it was done');
  assert.equal(headers.get('connection'), 'close');
  assert.match(headers.get('x-request-id') ?? '', /^req_/);
}

/** Sends a byte every few ms for as long as the connection takes them. */
async function trickle(client: RawClient): Promise<void> {
  const dripping = setInterval(() => {
    if (client.socket.writable) client.socket.write('x');
  }, 20);
  await client.closed;
  clearInterval(dripping);
}

/** Answers while somebody is at it. */
async function assertServes(): Promise<void> {
  assert.equal((await get(holt, 'models')).status, 200);
}

test('headers that trickle in are a 408 and the end of the connection', async () => {
  const client = await RawClient.open(holt);
  client.socket.write('GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ');
  await Promise.all([trickle(client), assertServes()]);
  assertLate(client);
});

test('a body that trickles in is a 408 and the end of the connection', async () => {
  const client = await RawClient.open(holt);
  client.socket.write(
    'POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{',
  );
  await Promise.all([trickle(client), assertServes()]);
  assertLate(client);
});

test('a connection that says nothing is closed', async () => {
  const client = await RawClient.open(holt);
  await Promise.all([client.closed, assertServes()]);
  assertLate(client);
});

test('a body that nobody waits for is no second answer in the middle of a stream', async () => {
  const { id } = await create(holt, otter({ tokens: 5 }, { background: true, stream: false }));
  await pollUntil(holt, id);
  const silent = await EventReader.create(holt, otter({ first_token_ms: 3_600_000 }, { background: true }));
  const [begun] = await silent.take(1);
  const streamed = idIn(begun);
  const client = await RawClient.open(holt);
  client.socket.write(
    `GET /v1/responses/${streamed}?stream=true HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{`,
  );
  await client.closed;
  const said = client.bytes.toString();
  assert.match(said, /^HTTP\/1\.1 200 OK\r\n/);
  assert.match(said, /event: response\.created/);
  assert.equal(said.split('HTTP/1.1').length, 2, 'the connection is cut, as every stream that can not go on');
  silent.leave();
  await fetch(`${holt.url}/v1/responses/${streamed}/cancel`, { method: 'POST' });
});

test('who is refused, says nothing more and stays is sent away', async () => {
  await using narrow = await startHolt({
    configure: (config) => {
      config.server.max_connections = 1;
    },
  });
  const { hostname, port } = new URL(narrow.url);
  const stays = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  stays.on('error', () => undefined);
  stays.write('this is no HTTP\r\n\r\n');
  stays.resume();
  await once(stays, 'end');
  await servedAgain(narrow);
  stays.destroy();
});

/** Resolves when there is room for a connection. */
async function servedAgain({ url }: TestHolt): Promise<void> {
  for (;;) {
    const client = await RawClient.open({ url });
    client.send('GET /healthz HTTP/1.1');
    const answered = client.until((bytes) => bytes.includes('\r\n\r\n'));
    if (
      await Promise.race([
        client.closed.then(() => false),
        answered.then(
          () => true,
          () => false,
        ),
      ])
    ) {
      assert.equal(parseAnswer(client.bytes).status, 200);
      client.leave();
      return;
    }
  }
}

/** A client that asks and then takes nothing. */
async function deafClient({ url }: TestHolt, request: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.pause();
  socket.write(request);
  return socket;
}

function asking(body: object): string {
  const json = JSON.stringify(body);
  return `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`;
}

test('a foreground reader that never reads loses its run, and gives its slot and its upstream back', async () => {
  await upstream.script('flood', [{ tokens: 100_000_000, text: 'flood '.repeat(100) }]);
  const deaf = await deafClient(holt, asking({ model: 'flood', input: 'Hi', stream: true }));
  await upstream.waitForClose('flood');
  // The only slot is free again.
  assert.equal((await create(holt, { model: 'm', input: 'Hi' })).status, 'completed');
  deaf.destroy();
});

test('a reader that is slow, and reads, is not cut', async () => {
  await upstream.script('wide', [
    ...Array.from({ length: 3 }, () => ({ tokens: 4_000, text: 'wide '.repeat(400) })),
    { finish: 'stop' },
    { done: true },
  ]);
  const slow = await deafClient(holt, asking({ model: 'wide', input: 'Hi', stream: true, store: false }));
  let received = '';
  let length = 0;
  // Longer than the server waits for one that takes nothing.
  const pace = setInterval(() => {
    slow.resume();
    setTimeout(() => slow.pause(), 5);
  }, 100);
  slow.on('data', (bytes: Buffer) => {
    length += bytes.length;
    received = (received + bytes.toString('latin1')).slice(-2_000);
    if (received.endsWith('\r\n0\r\n\r\n')) slow.emit('whole');
  });
  await Promise.race([
    once(slow, 'whole'),
    once(slow, 'close').then(() => assert.fail(`cut after ${length} bytes: ${received.slice(-200)}`)),
  ]);
  clearInterval(pace);
  slow.destroy();
  assert.ok(length > 24_000 * KIB, 'more than the buffers between them hold');
});

test('who takes nothing of a large JSON answer is cut', async () => {
  const stalled = Promise.withResolvers<void>();
  // A paused socket is told nothing; the server says when it has cut one.
  const info = (_: object, message: string): void => {
    if (message.includes('took nothing')) stalled.resolve();
  };
  await using large = await startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => {
      config.server.stall_timeout = 1_000;
      config.limits.output_bytes = 64 * KIB * KIB;
    },
    overrides: { log: { debug() {}, info, warn() {}, error() {} } },
  });
  await upstream.script('large', [{ tokens: 160, text: 'l'.repeat(100 * KIB) }, { finish: 'stop' }, { done: true }]);
  const { id } = await create(large, { model: 'large', input: 'Hi', background: true });
  const deaf = await deafClient(large, `GET /v1/responses/${id}?wait=30 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  await stalled.promise;
  let length = 0;
  deaf.on('data', (bytes: Buffer) => (length += bytes.length));
  deaf.resume();
  await once(deaf, 'close');
  assert.ok(length > 0 && length < 16_000 * KIB, `${length} bytes`);
});

test('connections beyond the limit are closed, until others leave', async () => {
  await using narrow = await startHolt({
    configure: (config) => {
      config.server.max_connections = 3;
    },
  });
  const crowd = await Promise.all(Array.from({ length: 3 }, () => RawClient.open(narrow)));
  for (const client of crowd) client.send('GET /healthz HTTP/1.1');
  for (const client of crowd) await client.until((bytes) => bytes.includes('\r\n\r\n'));
  const late = await RawClient.open(narrow);
  await late.closed;
  assert.equal(late.bytes.length, 0);
  crowd[0]?.leave();
  await crowd[0]?.closed;
  await servedAgain(narrow);
  for (const client of crowd) client.leave();
});
