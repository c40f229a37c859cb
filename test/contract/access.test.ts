import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import {
  EventReader,
  RawClient,
  SILENT,
  assertError,
  call,
  idIn,
  jsonRequest,
  otter,
  parseAnswer,
  responseIn,
} from './wire.ts';
import type { Answer, Served } from './wire.ts';

/** Who may ask, and what every answer says about itself. */

const KEY = 'sk-the-key-of-the-house';
let locked: TestHolt;
let open: TestHolt;
before(async () => {
  [locked, open] = await Promise.all([startHolt({ env: { HOLT_API_KEY: KEY } }), startHolt()]);
});
after(async () => {
  await Promise.all([locked.stop(), open.stop()]);
});

const authorized = { authorization: `Bearer ${KEY}` };

/** Every address there is, and one that is not. */
function requestsTo(served: Served, id: string, headers: Record<string, string> = {}): [string, Promise<Answer>][] {
  const url = `${served.url}/v1`;
  const plain = { headers };
  return [
    ['create', call('POST', `${url}/responses`, jsonRequest(otter(), headers))],
    [
      'create in the background',
      call('POST', `${url}/responses`, jsonRequest(otter({}, { background: true }), headers)),
    ],
    ['create a stream', call('POST', `${url}/responses`, jsonRequest(otter({}, { stream: true }), headers))],
    ['retrieve', call('GET', `${url}/responses/${id}`, plain)],
    ['stream', call('GET', `${url}/responses/${id}?stream=true`, plain)],
    ['cancel', call('POST', `${url}/responses/${id}/cancel`, plain)],
    ['input items', call('GET', `${url}/responses/${id}/input_items`, plain)],
    ['models', call('GET', `${url}/models`, plain)],
    ['a model', call('GET', `${url}/models/otter`, plain)],
    ['an unknown id', call('GET', `${url}/responses/resp_123`, plain)],
    ['an unknown URL', call('GET', `${url}/nothing`, plain)],
    ['another method', call('PUT', `${url}/responses`, jsonRequest({}, headers))],
    ['bad JSON', call('POST', `${url}/responses`, jsonRequest('{', headers))],
    ['a bad field', call('POST', `${url}/responses`, jsonRequest(otter({}, { temperature: 9 }), headers))],
  ];
}

async function streamedId(served: Served, headers: Record<string, string> = {}): Promise<string> {
  const body = otter({}, { background: true, stream: true });
  const reader = await EventReader.open(`${served.url}/v1/responses`, jsonRequest(body, headers));
  return idIn((await reader.rest())[0]);
}

// ---------------------------------------------------------------- with a key

test('without a key everything is a 401 that says how to send one', async () => {
  const id = await streamedId(locked, authorized);
  for (const headers of [
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: 'Bearer ' },
    { authorization: KEY },
    { authorization: `Basic ${KEY}` },
    { 'api-key': KEY },
  ] as Record<string, string>[]) {
    for (const [what, request] of requestsTo(locked, id, headers)) {
      const answer = await request;
      assertError(answer, 401, {
        type: 'invalid_request_error',
        code: null,
        param: null,
        message: /You didn't provide an API key/,
      });
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm=/, what);
    }
  }
});

test('with a wrong key everything is a 401 that does not repeat it', async () => {
  const id = await streamedId(locked, authorized);
  const wrong = ['x', 'sk-another-key-altogether', `${KEY}x`, KEY.slice(0, -1), KEY.toUpperCase(), 'x'.repeat(5_000)];
  for (const key of wrong) {
    for (const [what, request] of requestsTo(locked, id, { authorization: `Bearer ${key}` })) {
      const answer = await request;
      assertError(answer, 401, { type: 'invalid_request_error', code: 'invalid_api_key', param: null });
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm=/, what);
      if (key.length > 1) assert.ok(!answer.text.includes(key), 'the key is masked');
      assert.ok(!answer.text.includes(KEY));
    }
  }
});

test('what a refused request asked for did not happen', async () => {
  const url = `${locked.url}/v1/responses`;
  const made = await call('POST', url, jsonRequest(otter(SILENT, { background: true }), authorized));
  const { id } = responseIn(made);
  assertError(await call('POST', `${url}/${id}/cancel`), 401);
  assertError(await call('DELETE', `${url}/${id}`), 401);
  const answer = await call('GET', `${url}/${id}`, { headers: authorized });
  assert.match(answer.text, /"status":"in_progress"/);
});

test('with the key everything is served, from any host', async () => {
  const id = await streamedId(locked, authorized);
  for (const [what, request] of requestsTo(locked, id, authorized)) {
    assert.ok([200, 400, 404].includes((await request).status), what);
  }
  const client = await RawClient.open(locked);
  client.socket.write(
    `GET /v1/models HTTP/1.1\r\nHost: holt.example\r\nOrigin: https://web.example\r\nAuthorization: bearer ${KEY}\r\nConnection: close\r\n\r\n`,
  );
  await client.closed;
  assert.equal(parseAnswer(client.bytes).status, 200);
});

test('probes need no key', async () => {
  for (const served of [locked, open]) {
    for (const path of ['healthz', 'readyz']) {
      const answer = await call('GET', `${served.url}/${path}`);
      assert.deepEqual([answer.status, JSON.parse(answer.text)], [200, { status: 'ok' }]);
    }
  }
  const health = await RawClient.open(open);
  health.socket.write('GET /healthz HTTP/1.1\r\nHost: 10.1.2.3:8484\r\nConnection: close\r\n\r\n');
  await health.closed;
  assert.equal(parseAnswer(health.bytes).status, 200);
});

test('a key of the client is never sent on to the upstream', async () => {
  await using upstream = await startUpstream();
  await using relay = await startHolt({
    flags: ['--upstream', upstream.url],
    env: { HOLT_API_KEY: KEY, HOLT_UPSTREAM_API_KEY: 'sk-of-the-upstream' },
  });
  const headers = {
    ...authorized,
    'openai-organization': 'holt',
    'openai-project': 'default',
    cookie: 'secret=1',
    'x-client-request-id': 'mine',
  };
  const answer = await call('POST', `${relay.url}/v1/responses`, jsonRequest({ model: 'm', input: 'Hello' }, headers));
  assert.equal(answer.status, 200, answer.text);
  const [request] = await upstream.requests('m');
  assert.equal(request?.headers['authorization'], 'Bearer sk-of-the-upstream');
  assert.doesNotMatch(
    JSON.stringify(request),
    /the-key-of-the-house|openai-organization|openai-project|secret=1|"mine"/,
  );
});

// ---------------------------------------------------------------- without a key

/** One raw request with these headers, and its answer. */
async function ask(served: Served, path: string, headers: string[], method = 'GET', body = ''): Promise<Answer> {
  const client = await RawClient.open(served);
  const length = body === '' ? [] : [`Content-Length: ${body.length}`, 'Content-Type: text/plain'];
  client.socket.write(
    `${[`${method} ${path} HTTP/1.1`, ...headers, ...length, 'Connection: close'].join('\r\n')}\r\n\r\n${body}`,
  );
  await client.closed;
  const { status, head, chunks } = parseAnswer(client.bytes);
  const pairs = head
    .split('\r\n')
    .slice(1)
    .map((line) => line.split(': ') as [string, string]);
  return { status, headers: new Headers(pairs), text: chunks.join('') };
}

/** Spellings of addresses that a router could take for one of its own. */
const SPELLINGS = [
  '/v1/models',
  '/v1/responses/resp_123',
  '/%76%31/models',
  '/%76%31/responses/x',
  '/v1/%6dodels',
  '/v1/responses/x?stream=true',
  '/v1/nothing',
  '/',
];

test('in open mode a foreign Host is refused at every address, however it is spelled', async () => {
  const foreign = [
    'evil.example',
    'evil.example:8484',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    'localhost@evil.example',
    '0.0.0.0',
    'xlocalhost',
    '[::2]',
    '',
  ];
  for (const host of foreign) {
    for (const path of SPELLINGS) {
      assertError(await ask(open, path, [`Host: ${host}`]), 403, {
        type: 'invalid_request_error',
        code: 'foreign_origin',
      });
    }
    assertError(await ask(open, '/v1/responses', [`Host: ${host}`], 'POST', JSON.stringify(otter())), 403);
    assertError(await ask(open, '/%76%31/responses', [`Host: ${host}`], 'POST', JSON.stringify(otter())), 403);
  }
});

test('in open mode a page of another origin is refused, even one that asks as simply as a form', async () => {
  const origins = [
    'https://evil.example',
    'http://evil.example:8484',
    'null',
    'file://',
    'http://localhost.evil.example',
    'http://10.0.0.1',
    'chrome-extension://abc',
    'localhost',
    '',
  ];
  for (const origin of origins) {
    const headers = [`Host: 127.0.0.1`, `Origin: ${origin}`];
    for (const path of SPELLINGS) {
      assertError(await ask(open, path, headers), 403, { code: 'foreign_origin' });
    }
    const made = await ask(open, '/v1/responses', headers, 'POST', JSON.stringify(otter({}, { background: true })));
    assertError(made, 403, { code: 'foreign_origin' });
  }
});

test('in open mode programs on this machine are served under each of its own names', async () => {
  const { port } = new URL(open.url);
  for (const host of ['127.0.0.1', `127.0.0.1:${port}`, 'localhost', `LocalHost:${port}`, '[::1]', `[::1]:${port}`]) {
    assert.equal((await ask(open, '/v1/models', [`Host: ${host}`])).status, 200, host);
  }
  for (const origin of [
    'http://localhost:3000',
    `http://127.0.0.1:${port}`,
    'http://[::1]:5173',
    'https://localhost',
  ]) {
    assert.equal((await ask(open, '/v1/models', ['Host: localhost', `Origin: ${origin}`])).status, 200, origin);
  }
  const any = { headers: { authorization: 'Bearer whatever' } };
  assert.equal((await call('GET', `${open.url}/v1/models`, any)).status, 200);
});

test('in open mode each loopback address that it may listen on is one of its own names', async () => {
  await using other = await startHolt({ flags: ['--host', '127.0.0.2'] });
  const answer = await call('GET', `${other.url}/v1/models`);
  assert.equal(answer.status, 200, answer.text);
});

// ---------------------------------------------------------------- what every answer says about itself

test('every answer names its request, the version and the time it took', async () => {
  const seen = new Set<string>();
  let count = 0;
  const check = (answer: Answer, what: string): void => {
    const { headers } = answer;
    assert.match(headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/, what);
    assert.equal(headers.get('openai-version'), '2020-10-01', what);
    assert.match(headers.get('openai-processing-ms') ?? '', /^\d+$/, what);
    seen.add(headers.get('x-request-id') ?? '');
    count += 1;
  };
  for (const [served, headers] of [
    [open, {}],
    [locked, authorized],
    [locked, {}],
    [locked, { authorization: 'Bearer wrong' }],
  ] as [Served, Record<string, string>][]) {
    const id = await streamedId(served, authorized);
    for (const [what, request] of requestsTo(served, id, headers)) check(await request, what);
    check(await call('DELETE', `${served.url}/v1/responses/${id}`, { headers }), 'delete');
  }
  check(await call('GET', `${open.url}/healthz`), 'healthz');
  check(await ask(open, '/v1/models', ['Host: evil.example']), 'a foreign host');
  check(await call('POST', `${open.url}/v1/responses`, { body: 'x'.repeat(33 * 1024 * 1024) }), 'too large');
  assert.equal(seen.size, count, 'no two requests share an id');
});

test('an answer that is no stream says how long it is and that it is JSON', async () => {
  const id = await streamedId(open);
  for (const [what, request] of requestsTo(open, id, { 'accept-encoding': 'identity' })) {
    const { headers, text } = await request;
    if (headers.get('content-type')?.startsWith('text/event-stream') === true) continue;
    assert.match(headers.get('content-type') ?? '', /^application\/json/, what);
    assert.equal(headers.get('content-length'), String(Buffer.byteLength(text)), what);
  }
});
