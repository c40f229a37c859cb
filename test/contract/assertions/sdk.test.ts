import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { TestContext } from 'node:test';
import { startHolt } from '../../support/holt.ts';
import type { TestHolt } from '../../support/holt.ts';
import { startJudgingProxy } from '../../support/judging-proxy.ts';
import { findPython, runPython } from '../../support/python.ts';
import { skipUnavailable } from '../../support/unavailable.ts';
import { startUpstream } from '../../support/upstream.ts';
import type { Upstream } from '../../support/upstream.ts';
import {
  EventReader,
  SILENT,
  assertError,
  call,
  cancel,
  create,
  get,
  idIn,
  jsonRequest,
  otter,
  pollUntil,
  post,
  remove,
} from '../wire.ts';
import type { Answer } from '../wire.ts';

/** The contract's assertions about clients; A53 and A57 are in sdk.test.ts, A55 in python.test.ts, A58 in cancel.test.ts. */

const KEY = 'sk-the-key-of-the-house';
const authorized = { authorization: `Bearer ${KEY}` };

let holt: TestHolt;
let locked: TestHolt;
let upstream: Upstream;
let relay: TestHolt;
before(async () => {
  [holt, locked, upstream] = await Promise.all([
    startHolt({ configure: (config) => delete config.models['*'] }),
    startHolt({ env: { HOLT_API_KEY: KEY } }),
    startUpstream(),
  ]);
  relay = await startHolt({ flags: ['--upstream', upstream.url] });
});
after(async () => {
  await Promise.all([holt.stop(), locked.stop(), relay.stop()]);
  await upstream.stop();
});

/** What a program of test/contract/python prints; undefined where there is no Python to run it. */
async function printed(t: TestContext, file: string): Promise<string | undefined> {
  const python = await findPython();
  if ('missing' in python) {
    skipUnavailable(t, python.missing);
    return undefined;
  }
  await using proxy = await startJudgingProxy(holt.url);
  const environment = { OPENAI_BASE_URL: `${proxy.url}/v1`, OPENAI_API_KEY: 'test' };
  const ran = await runPython(python.interpreter, { file: `contract/python/${file}` }, environment);
  assert.equal(ran.code, 0, ran.stderr);
  assert.deepEqual(proxy.complaints, []);
  return ran.stdout;
}

test('A54 the Python helper, broken off at event 10, goes on with event 11 to the same final response', async (t) => {
  await printed(t, 'resume_helper.py');
});

test('A56 both clients show the text of a response that was retrieved after its end', async (t) => {
  const { input: _, ...params } = otter({ tokens: 30, interval_ms: 1 }, { background: true });
  const made = await holt.client.responses.create({ ...(params as { model: string }), input: 'Tell me about otters.' });
  await pollUntil(holt, made.id);
  const { output_text: text } = await holt.client.responses.retrieve(made.id);
  assert.notEqual(text, '');
  const python = await printed(t, 'output_text.py');
  if (python !== undefined) assert.equal(python, `${text}\n`);
});

test('A60 a missing or bad key is a 401, every answer says which request it was, and a refused retry is not made', async () => {
  const named = ({ headers }: Pick<Answer, 'headers'>): void => {
    assert.match(headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/);
    assert.match(headers.get('openai-processing-ms') ?? '', /^\d+$/);
  };
  const url = `${locked.url}/v1/responses`;
  for (const headers of [{}, { authorization: 'Bearer sk-of-someone-else' }] as Record<string, string>[]) {
    for (const answer of [
      await call('POST', url, jsonRequest(otter(), headers)),
      await call('GET', `${url}/resp_123?stream=true`, { headers }),
    ]) {
      assertError(answer, 401, { type: 'invalid_request_error', param: null });
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm=/);
      named(answer);
    }
  }
  const streaming = jsonRequest(otter({}, { background: true, stream: true }), authorized);
  const stream = await EventReader.open(url, streaming);
  named(stream);
  const id = idIn((await stream.rest())[0]);
  for (const answer of [
    await call('POST', url, jsonRequest(otter(), authorized)),
    await call('POST', url, jsonRequest('{', authorized)),
    await call('GET', `${url}/${id}`, { headers: authorized }),
    await call('GET', `${url}/resp_123`, { headers: authorized }),
    await call('GET', `${url}/${id}/input_items`, { headers: authorized }),
    await call('GET', `${locked.url}/v1/nothing`, { headers: authorized }),
    await call('POST', `${url}/${id}/cancel`, { headers: authorized }),
    await call('DELETE', `${url}/${id}`, { headers: authorized }),
  ]) {
    named(answer);
  }
  await assertSentAway(named);
  await assertAskedOnce();

  const overloaded = { status: 503, body: { error: { message: 'overloaded' } } };
  const refusal = { ...overloaded, headers: { 'x-should-retry': 'false' } };
  for (const [model, first, tries] of [
    ['busy', overloaded, 2],
    ['busy, and it will stay so', refusal, 1],
  ] as const) {
    await upstream.script(model, { first: [first], steps: [{ delta: { content: 'x' } }, { finish: 'stop' }] });
    const { id } = await create(relay, { model, input: 'Hello', background: true });
    assert.equal((await pollUntil(relay, id)).status, tries === 1 ? 'failed' : 'completed');
    assert.equal((await upstream.requests(model)).length, tries, model);
  }
});

async function assertAskedOnce(): Promise<void> {
  let asked = 0;
  const counting: typeof fetch = (input, init) => {
    asked += 1;
    return fetch(input, init);
  };
  const client = relay.client.withOptions({ maxRetries: 2, fetch: counting });
  const quota = { message: 'You exceeded your quota', type: 'insufficient_quota', code: 'insufficient_quota' };
  await upstream.script('spent', { reply: { status: 429, body: { error: quota } } });
  await assert.rejects(client.responses.create({ model: 'spent', input: 'Hello' }), ({ status, headers }) => {
    assert.deepEqual([status, headers.get('x-should-retry')], [429, 'false']);
    return true;
  });
  assert.equal(asked, 1);
}

async function assertSentAway(named: (answer: Answer) => void): Promise<void> {
  await using full = await startHolt({
    configure: (config) => {
      config.worker.concurrency = 1;
      config.queue.max = 1;
    },
  });
  const silent = otter(SILENT, { background: true });
  const answers = [await post(full, silent), await post(full, silent), await post(full, silent)];
  const away = answers.at(-1)!;
  assertError(away, 429, { type: 'rate_limit_error', code: 'rate_limit_exceeded' });
  assert.match(away.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  named(away);
}

async function keyTwice(holt: TestHolt): Promise<Answer> {
  const [first, second] = ['one', 'two'].map((input) => otter({}, { background: true, input }));
  assert.equal((await post(holt, first, { 'idempotency-key': 'twice' })).status, 200);
  return post(holt, second, { 'idempotency-key': 'twice' });
}

test('A61 what will never go well is told by no status at which clients try again', async () => {
  const foreground = await create(holt, otter());
  const unstreamed = await create(holt, otter({}, { background: true }));
  const gone = await create(holt, otter());
  assert.equal((await remove(holt, gone.id)).status, 200);
  await upstream.script('refusing', { reply: { status: 400, body: { error: { message: 'no', code: null } } } });
  const bad: [what: string, ask: () => Promise<Answer>][] = [
    ['no JSON', () => post(holt, '{')],
    ['no model', () => post(holt, { input: 'Hello' })],
    ['an unknown model', () => post(holt, otter({}, { model: 'gpt-5.2' }))],
    ['a bad field', () => post(holt, otter({}, { temperature: 9 }))],
    ['a field that is not served', () => post(holt, otter({}, { prompt: { id: 'pmpt_1' } }))],
    ['background without store', () => post(holt, otter({}, { background: true, store: false }))],
    ['an unknown id', () => get(holt, 'responses/resp_123')],
    ['an unknown id to cancel', () => cancel(holt, 'resp_123')],
    ['a deleted one', () => get(holt, `responses/${gone.id}`)],
    ['a deleted one to delete', () => remove(holt, gone.id)],
    ['a foreground one to cancel', () => cancel(holt, foreground.id)],
    ['a foreground one to stream', () => get(holt, `responses/${foreground.id}?stream=true`)],
    ['one without stream to stream', () => get(holt, `responses/${unstreamed.id}?stream=true`)],
    ['a bad cursor', () => get(holt, `responses/${unstreamed.id}?stream=true&starting_after=abc`)],
    ['an unknown model to look up', () => get(holt, 'models/gpt-5.2')],
    ['an unknown URL', () => get(holt, 'nothing')],
    ['an unknown method', () => call('PUT', `${holt.url}/v1/responses`)],
    ['a key without background mode', () => post(holt, otter(), { 'idempotency-key': 'one' })],
    ['a key that was used for another request', () => keyTwice(holt)],
    ['a bad key', () => call('GET', `${locked.url}/v1/models`, { headers: { authorization: 'Bearer wrong' } })],
    ['what the upstream refuses', () => post(relay, { model: 'refusing', input: 'Hello' })],
  ];
  for (const [what, ask] of bad) {
    const { status } = await ask();
    assert.ok([400, 401, 403, 404].includes(status), `${what}: ${status}`);
  }
  // The official client, with its usual retries, asks once.
  let asked = 0;
  const counting: typeof fetch = (input, init) => {
    asked += 1;
    return fetch(input, init);
  };
  const client = holt.client.withOptions({ maxRetries: 2, fetch: counting });
  for (const run of [
    () => client.responses.retrieve(gone.id),
    () => client.responses.cancel(foreground.id),
    () => client.responses.create({ model: 'gpt-5.2', input: 'Hello' }),
  ]) {
    asked = 0;
    await assert.rejects(run());
    assert.equal(asked, 1);
  }
});
