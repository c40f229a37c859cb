import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import test, { after } from 'node:test';
import { collect, errorOf, openProvider, requestOf, turnFor } from '../support/chat-run.ts';
import { FakeClock } from '../support/clock.ts';
import { startUpstream } from '../support/upstream.ts';

/** What a refusal of the upstream is to a client, in the foreground (row) and in the background (code). */

const KEY = 'sk-secret-of-the-operator';
const NOW = Date.UTC(2026, 10, 24, 12, 0, 0);

const upstream = await startUpstream();
const provider = openProvider(upstream.url, { apiKey: KEY }, new FakeClock(NOW));
after(async () => {
  await provider.close();
  await upstream.stop();
});

let models = 0;

async function refuse(status: number, body: string | object = {}, headers: Record<string, string> = {}) {
  models += 1;
  const model = `model-${models}`;
  await upstream.script(model, { reply: { status, body, headers } });
  const turn = turnFor(model, { request: requestOf({ model: 'asked-for' }) });
  return errorOf(await collect(provider, turn));
}

const said = (message: string, more: object = {}) => ({
  error: { message, type: 'x', param: null, code: null, ...more },
});

type Row = [status: number, body: string | object, row: string, code: string, retryable: boolean];
const table: Row[] = [
  [400, said('bad temperature'), 'upstream_rejected', 'invalid_prompt', false],
  [422, { detail: 'bad' }, 'upstream_rejected', 'invalid_prompt', false],
  [400, said('x', { code: 'context_length_exceeded' }), 'context_length_exceeded', 'invalid_prompt', false],
  [
    400,
    said("This model's maximum context length is 8192 tokens."),
    'context_length_exceeded',
    'invalid_prompt',
    false,
  ],
  [400, said('x', { type: 'exceed_context_size_error' }), 'context_length_exceeded', 'invalid_prompt', false],
  [413, said('prompt is too long: 210000 tokens > 200000'), 'context_length_exceeded', 'invalid_prompt', false],
  [413, 'too large', 'upstream_rejected', 'invalid_prompt', false],
  [401, said('Incorrect API key provided'), 'upstream_failed', 'server_error', false],
  [403, said('Forbidden'), 'upstream_failed', 'server_error', false],
  [402, said('Insufficient credits'), 'upstream_quota', 'rate_limit_exceeded', false],
  [404, said('The model `x` does not exist.'), 'model_not_found', 'invalid_prompt', false],
  [404, { error: 'model "x" not found, try pulling it first' }, 'model_not_found', 'invalid_prompt', false],
  [400, said('x is not a valid model ID', { code: 'model_not_found' }), 'model_not_found', 'invalid_prompt', false],
  [404, { detail: 'Not Found' }, 'upstream_failed', 'server_error', false],
  [408, said('timeout'), 'upstream_failed', 'server_error', true],
  [409, said('conflict'), 'upstream_failed', 'server_error', true],
  [429, said('slow down'), 'upstream_rate_limited', 'rate_limit_exceeded', true],
  [429, said('x', { code: 'insufficient_quota' }), 'upstream_quota', 'rate_limit_exceeded', false],
  [429, said('x', { type: 'insufficient_quota' }), 'upstream_quota', 'rate_limit_exceeded', false],
  ...[500, 502, 503, 504, 520, 524, 529].map((status): Row => [
    status,
    said('oops'),
    'upstream_failed',
    'server_error',
    true,
  ]),
  ...[301, 405, 501, 505].map((status): Row => [status, '<html>oops</html>', 'upstream_failed', 'server_error', false]),
];
for (const [status, body, row, code, retryable] of table) {
  test(`HTTP ${status} ${JSON.stringify(body)} is ${row}`, async () => {
    const error = await refuse(status, body);
    assert.deepEqual([error.row, error.code, error.retryable], [row, code, retryable]);
  });
}

// ---------------------------------------------------------------- messages

const messages: [string, number, string | object, string][] = [
  ['the words of the upstream', 400, said('bad temperature'), 'bad temperature'],
  ['a bare string', 400, { error: 'bad' }, 'bad'],
  ['an error that is the body', 400, { object: 'error', message: 'bad', code: 400 }, 'bad'],
  ['a list of one', 400, [{ error: { code: 400, message: 'bad', status: 'INVALID_ARGUMENT' } }], 'bad'],
  ['the details of FastAPI', 422, { detail: [{ msg: 'one' }, { msg: 'two' }] }, 'one; two'],
  ['a page is not shown', 502, '<html>nginx on 10.0.0.7</html>', 'The upstream answered with HTTP 502.'],
  ['nothing is said', 400, '', 'The upstream answered with HTTP 400.'],
  ['a model by the name the client knows', 404, said('model x'), "The requested model 'asked-for' does not exist."],
];
for (const [title, status, body, expected] of messages) {
  test(`message: ${title}`, async () => {
    assert.equal((await refuse(status, body)).message, expected);
  });
}

test("a client never reads the upstream's words about our credentials, nor the key in any others", async () => {
  const unauthorized = await refuse(401, said(`Incorrect API key provided: ${KEY}`, { param: 'api_key' }));
  assert.equal(unauthorized.message, "The upstream refused this server's credentials.");
  assert.equal(unauthorized.param, undefined);
  for (const status of [400, 429, 500]) {
    assert.equal((await refuse(status, said(`the key ${KEY} is odd`))).message, 'the key *** is odd');
  }
});

test('a large page as an error body says nothing', async () => {
  const error = await refuse(500, 'x'.repeat(4 * 1024 * 1024));
  assert.equal(error.message, 'The upstream answered with HTTP 500.');
});

test('a very long message is cut', async () => {
  assert.equal((await refuse(400, said('x'.repeat(10_000)))).message.length, 2_001);
});

// ---------------------------------------------------------------- params

const params: [string, string | undefined][] = [
  ['messages[3].content', 'input'],
  ['messages', 'input'],
  ['max_tokens', 'max_output_tokens'],
  ['max_completion_tokens', 'max_output_tokens'],
  ['response_format', 'text.format'],
  ['response_format.json_schema.schema', 'text.format.schema'],
  ['reasoning_effort', 'reasoning.effort'],
  ['verbosity', 'text.verbosity'],
  ['tools[1].function.parameters', 'tools[1].parameters'],
  ['tool_choice.function.name', 'tool_choice.name'],
  ['temperature', 'temperature'],
  ['stream', undefined],
];
for (const [theirs, ours] of params) {
  test(`param: ${theirs} is ${ours}`, async () => {
    assert.equal((await refuse(400, said('bad', { param: theirs }))).param, ours);
  });
}

test('param: the location of FastAPI', async () => {
  const detail = [{ loc: ['body', 'messages', 0, 'content'], msg: 'bad' }];
  assert.equal((await refuse(422, { detail })).param, 'input');
});

// ---------------------------------------------------------------- retry-after

const waits: [Record<string, string>, number | undefined][] = [
  [{ 'retry-after': '7' }, 7_000],
  [{ 'retry-after': '0.5' }, 500],
  [{ 'retry-after-ms': '1234', 'retry-after': '7' }, 1_234],
  [{ 'retry-after': 'Tue, 24 Nov 2026 12:00:30 GMT' }, 30_000],
  [{ 'retry-after': 'Tue, 24 Nov 2026 11:00:00 GMT' }, 0],
  [{ 'retry-after': 'soon' }, undefined],
  [{ 'retry-after': '-5' }, undefined],
  [{}, undefined],
];
for (const [headers, expected] of waits) {
  test(`retry after ${JSON.stringify(headers)}`, async () => {
    assert.equal((await refuse(429, said('slow down'), headers)).retryAfterMs, expected);
  });
}

test('x-should-retry overrules the status', async () => {
  assert.equal((await refuse(503, said('x'), { 'x-should-retry': 'false' })).retryable, false);
  assert.equal((await refuse(400, said('x'), { 'x-should-retry': 'true' })).retryable, true);
});

// ---------------------------------------------------------------- inside a stream

const streamErrors: [object, string, string, boolean][] = [
  [{ message: 'x', code: 429 }, 'upstream_rate_limited', 'rate_limit_exceeded', true],
  [{ message: 'x', code: '429' }, 'upstream_rate_limited', 'rate_limit_exceeded', true],
  [{ message: 'x', type: 'rate_limit_error' }, 'upstream_rate_limited', 'rate_limit_exceeded', true],
  [{ message: 'x', type: 'insufficient_quota' }, 'upstream_quota', 'rate_limit_exceeded', false],
  [{ message: 'x', type: 'overloaded_error' }, 'upstream_failed', 'server_error', true],
  [{ message: 'x', type: 'invalid_request_error' }, 'upstream_rejected', 'invalid_prompt', false],
  [{ message: 'x', code: 'context_length_exceeded' }, 'context_length_exceeded', 'invalid_prompt', false],
  [{ message: 'x', code: 401 }, 'upstream_failed', 'server_error', false],
  [{ message: 'x' }, 'upstream_failed', 'server_error', true],
];
for (const [error, row, code, retryable] of streamErrors) {
  test(`an error in a stream ${JSON.stringify(error)} is ${row}`, async () => {
    models += 1;
    await upstream.script(`model-${models}`, [{ chunk: { error } }]);
    const failure = errorOf(await collect(provider, turnFor(`model-${models}`)));
    assert.deepEqual([failure.row, failure.code, failure.retryable], [row, code, retryable]);
  });
}

// ---------------------------------------------------------------- the network

test('a refused connection is worth another try and names no address', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  server.close();
  await once(server, 'close');
  await using closed = openProvider(`http://127.0.0.1:${port}/v1`);
  const error = errorOf(await collect(closed, turnFor('any')));
  assert.equal(error.message, 'The connection to the upstream failed (ECONNREFUSED).');
  assert.deepEqual([error.row, error.code, error.retryable], ['upstream_failed', 'server_error', true]);
});

test('a name that does not resolve is worth another try', async () => {
  await using lost = openProvider('http://nowhere.invalid/v1');
  const error = errorOf(await collect(lost, turnFor('any')));
  assert.match(error.message, /ENOTFOUND|EAI_AGAIN/);
  assert.equal(error.retryable, true);
});

test('a connection closed without an answer is worth another try', async () => {
  const server = createServer((socket) => socket.once('data', () => socket.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  await using rude = openProvider(`http://127.0.0.1:${port}/v1`);
  const error = errorOf(await collect(rude, turnFor('any')));
  assert.deepEqual([error.row, error.retryable], ['upstream_failed', true]);
  server.close();
});
