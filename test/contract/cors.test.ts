import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { loadConfig } from '../../server/src/config.ts';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import {
  RawClient,
  SILENT,
  assertError,
  call,
  jsonRequest,
  otter,
  parseAnswer,
  responseIn,
  streamUrl,
} from './wire.ts';
import type { Answer, Served } from './wire.ts';

/** What a page of another origin may do and read, in a browser that keeps to the rules. */

const KEY = 'sk-the-key-of-the-house';
const PAGE = 'https://app.example';
const OTHER = 'https://other.example';
let off: TestHolt;
let open: TestHolt;
let locked: TestHolt;
let any: TestHolt;
before(async () => {
  const allow = (cors: '*' | string[]) => (config: ReturnType<typeof loadConfig>) => {
    config.server.cors = cors;
  };
  [off, open, locked, any] = await Promise.all([
    startHolt(),
    startHolt({ configure: allow([PAGE, 'http://localhost:5173']) }),
    startHolt({ configure: allow([PAGE]), env: { HOLT_API_KEY: KEY } }),
    startHolt({ configure: allow('*') }),
  ]);
});
after(async () => {
  await Promise.all([off, open, locked, any].map((holt) => holt.stop()));
});

function preflight(served: Served, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return call('OPTIONS', served.url + path, {
    headers: { origin: PAGE, 'access-control-request-method': 'POST', ...headers },
  });
}

const corsHeaders = ({ headers }: Answer): string[] =>
  [...headers.keys()].filter((name) => name.startsWith('access-control-'));

/** Requests whose answers are of every kind, streams and errors too. */
async function answersTo(served: Served, headers: Record<string, string>): Promise<Answer[]> {
  const url = `${served.url}/v1/responses`;
  const made = await call('POST', url, jsonRequest(otter({}, { background: true, stream: true }), headers));
  const id = /resp_[0-9a-f]+/.exec(made.text)?.[0] ?? 'resp_123';
  return [
    made,
    await call('POST', url, jsonRequest(otter({}, { stream: true }), headers)),
    await call('POST', url, jsonRequest(otter(SILENT, { background: true }), headers)),
    await call('POST', url, jsonRequest('{', headers)),
    await call('POST', url, jsonRequest({ input: 'x' }, headers)),
    await call('GET', `${url}/${id}`, { headers }),
    await call('HEAD', `${url}/${id}`, { headers }),
    await call('GET', streamUrl(served, id), { headers }),
    await call('GET', `${url}/${id}?stream=x`, { headers }),
    await call('GET', `${url}/resp_123`, { headers }),
    await call('GET', `${url}/%zz`, { headers }),
    await call('GET', `${served.url}/v1/models`, { headers }),
    await call('GET', `${served.url}/v1/nothing`, { headers }),
    await call('GET', `${served.url}/healthz`, { headers }),
    await call('DELETE', `${url}/${id}`, { headers }),
  ];
}

test('a preflight says what the page may do, without a key and for every URL', async () => {
  for (const served of [open, locked]) {
    for (const path of ['/v1/responses', '/v1/responses/resp_1?stream=true', '/v1/nothing', '/healthz']) {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const asked = 'authorization,content-type,x-stainless-lang';
        const answer = await preflight(served, path, {
          'access-control-request-method': method,
          'access-control-request-headers': asked,
        });
        assert.deepEqual([answer.status, answer.text], [204, ''], path);
        const { headers } = answer;
        assert.equal(headers.get('access-control-allow-origin'), PAGE);
        assert.ok(headers.get('access-control-allow-methods')?.split(', ').includes(method));
        assert.equal(headers.get('access-control-allow-headers'), asked);
        assert.ok(Number(headers.get('access-control-max-age')) > 0);
        assert.match(headers.get('vary') ?? '', /\bOrigin\b/);
        assert.equal(headers.get('access-control-allow-credentials'), null);
        assert.ok(headers.get('x-request-id'));
      }
    }
  }
  const plain = await preflight(open, '/v1/models', { 'access-control-request-method': 'GET' });
  assert.equal(plain.headers.get('access-control-allow-headers'), null, 'nothing was asked for');
});

test('every answer to the page can be read by it, errors and streams too', async () => {
  const answers = [
    ...(await answersTo(open, { origin: PAGE })),
    ...(await answersTo(locked, { origin: PAGE, authorization: `Bearer ${KEY}` })),
    ...(await answersTo(locked, { origin: PAGE })),
  ];
  for (const { headers, status } of answers) {
    const what = `${status} ${headers.get('content-type')}`;
    assert.equal(headers.get('access-control-allow-origin'), PAGE, what);
    assert.match(headers.get('vary') ?? '', /\bOrigin\b/, what);
    const exposed = headers.get('access-control-expose-headers')?.split(', ') ?? [];
    const safe = /^(access-control|cache-control$|content-|date$|connection$|keep-alive$|transfer-|vary$|x-accel-)/;
    for (const name of headers.keys()) {
      if (!safe.test(name)) assert.ok(exposed.includes(name), `${name} can not be read`);
    }
    for (const name of [
      'retry-after',
      'holt-dropped',
      'idempotent-replayed',
      'holt-queue-position',
      'holt-queue-wait-ms',
      'openai-poll-after-ms',
      'x-should-retry',
    ]) {
      assert.ok(exposed.includes(name), name);
    }
  }
  const statuses = new Set(answers.map(({ status }) => status));
  for (const status of [200, 400, 401, 404]) assert.ok(statuses.has(status), `a ${status} was seen`);
  assert.ok(answers.some(({ headers }) => headers.get('content-type')?.startsWith('text/event-stream')));
});

test('an origin that is not on the list gets no such header and, without a key, nothing at all', async () => {
  const near = [
    OTHER,
    `${PAGE}.evil.example`,
    'http://app.example',
    `${PAGE}:8443`,
    `${PAGE}/`,
    'null',
    PAGE.toUpperCase(),
  ];
  for (const origin of near) {
    for (const answer of await answersTo(open, { origin })) {
      assert.deepEqual(corsHeaders(answer), [], origin);
      if (answer.status !== 400 && !answer.text.includes('"status":"ok"')) assert.equal(answer.status, 403, origin);
      assert.match(answer.headers.get('vary') ?? '', /\bOrigin\b/);
    }
    for (const answer of await answersTo(locked, { origin, authorization: `Bearer ${KEY}` })) {
      assert.deepEqual(corsHeaders(answer), [], origin);
    }
    const refused = await preflight(open, '/v1/responses', { origin });
    assert.deepEqual([refused.status, corsHeaders(refused)], [403, []]);
    assert.equal((await preflight(locked, '/v1/responses', { origin })).status, 401);
  }
});

test('a foreign Host is refused also to a page that may ask', async () => {
  const client = await RawClient.open(open);
  client.socket.write(`GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nOrigin: ${PAGE}\r\nConnection: close\r\n\r\n`);
  await client.closed;
  assert.equal(parseAnswer(client.bytes).status, 403);
});

test('with * every origin may ask', async () => {
  for (const origin of [PAGE, OTHER, 'null']) {
    for (const answer of await answersTo(any, { origin })) {
      assert.equal(answer.headers.get('access-control-allow-origin'), '*');
      assert.notEqual(answer.status, 403);
    }
    assert.equal((await preflight(any, '/v1/responses', { origin })).status, 204);
  }
});

test('it is off unless it is asked for', async () => {
  for (const origin of ['http://localhost:3000', PAGE]) {
    for (const answer of await answersTo(off, { origin })) {
      assert.deepEqual(corsHeaders(answer), []);
      assert.doesNotMatch(answer.headers.get('vary') ?? '', /Origin/);
    }
    const asked = await preflight(off, '/v1/responses', { origin });
    if (origin === PAGE) assertError(asked, 403);
    else assert.deepEqual([asked.status, corsHeaders(asked)], [204, []]);
  }
});

test('OPTIONS that is no preflight says what may be done with the URL', async () => {
  for (const headers of [{}, { origin: PAGE }, { 'access-control-request-method': 'GET' }] as Record<
    string,
    string
  >[]) {
    for (const [path, allowed] of [
      ['/v1/responses', 'POST, OPTIONS'],
      ['/v1/responses/resp_1', 'GET, HEAD, DELETE, OPTIONS'],
      ['/v1/models/a/b', 'GET, HEAD, OPTIONS'],
    ] as const) {
      const answer = await call('OPTIONS', open.url + path, { headers });
      assert.deepEqual([answer.status, answer.headers.get('allow'), answer.text], [204, allowed, '']);
    }
    assertError(await call('OPTIONS', `${open.url}/v1/nothing`, { headers }), 404, { code: 'unknown_url' });
    assertError(await call('OPTIONS', `${locked.url}/v1/responses`, { headers }), 401);
  }
});

test('who does not come from a page is served as always', async () => {
  const answer = await call('POST', `${open.url}/v1/responses`, jsonRequest(otter()));
  assert.equal(responseIn(answer).status, 'completed');
  assert.deepEqual(corsHeaders(answer), []);
});
