import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import {
  RawClient,
  SILENT,
  assertError,
  call,
  cancel,
  create,
  get,
  otter,
  parseAnswer,
  pollUntil,
  post,
  within,
} from './wire.ts';

/** HEAD, retries, and what answers say in their headers. */

let holt: TestHolt;
before(async () => {
  holt = await startHolt();
});
after(() => holt.stop());

test('HEAD answers as GET does, without a body', async () => {
  const ended = await create(holt, otter({}, { background: true, stream: false }));
  await pollUntil(holt, ended.id);
  const running = await create(holt, otter(SILENT, { background: true, stream: false }));
  for (const path of [
    '/healthz',
    '/readyz',
    '/v1/models',
    '/v1/models/otter',
    '/v1/models/nobody',
    `/v1/responses/${ended.id}`,
    `/v1/responses/${ended.id}?wait=1`,
    `/v1/responses/${running.id}`,
    `/v1/responses/${ended.id}/input_items`,
    `/v1/responses/${ended.id}?stream=true`,
    `/v1/responses/${ended.id}?stream=maybe`,
    '/v1/responses/resp_123',
    '/v1/responses/resp_123?stream=true',
    '/v1/nothing',
  ]) {
    const [whole, head] = await Promise.all([call('GET', holt.url + path), call('HEAD', holt.url + path)]);
    assert.deepEqual([head.status, head.text], [whole.status, ''], path);
    if (path === '/v1/nothing') continue; // its message names the method
    for (const name of ['content-type', 'content-length', 'openai-version', 'openai-poll-after-ms']) {
      assert.equal(head.headers.get(name), whole.headers.get(name), `${path}: ${name}`);
    }
    assert.ok(head.headers.get('x-request-id'), path);
  }
  await cancel(holt, running.id);
});

test('HEAD of a stream starts none: it is over at once, however long the response runs', async () => {
  const reader = await holt.client.responses.create({
    model: 'otter',
    input: 'x',
    background: true,
    stream: true,
    metadata: { 'scripted.first_token_ms': '3600000' },
  });
  let id = '';
  for await (const event of reader) {
    if (event.type !== 'response.created') continue;
    ({ id } = event.response);
    break;
  }
  // `fetch` is content with the head alone: here the server has to be done with the request.
  const client = await RawClient.open(holt);
  client.send(`HEAD /v1/responses/${id}?stream=true HTTP/1.1\r\nConnection: close`);
  await within(20_000, client.closed, 'the end of the answer');
  const { status, head, chunks } = parseAnswer(client.bytes);
  assert.equal(status, 200);
  assert.match(head, /^content-type: text\/event-stream; charset=utf-8$/im);
  assert.equal(chunks.join(''), '');
  assert.match((await get(holt, `responses/${id}`)).text, /"status":"in_progress"/);
  await cancel(holt, id);
});

test('HEAD where there is no GET is a method that is not served', async () => {
  for (const path of ['/v1/responses', '/v1/responses/resp_123/cancel']) {
    assert.equal((await call('HEAD', holt.url + path)).status, 404);
  }
});

// ---------------------------------------------------------------- retries

test('an error that clients would retry says whether that helps, and they listen', async () => {
  await using upstream = await startUpstream();
  await using relay = await startHolt({ flags: ['--upstream', upstream.url] });
  const failing: [
    name: string,
    replied: number,
    headers: Record<string, string>,
    status: number,
    retry: string | null,
  ][] = [
    ['refused', 401, {}, 502, 'false'],
    ['unpaid', 402, {}, 429, 'false'],
    ['misplaced', 405, {}, 502, 'false'],
    ['limited', 429, { 'retry-after': '90' }, 429, 'true'],
    ['told', 503, { 'x-should-retry': 'false' }, 502, 'false'],
    ['wrong', 400, {}, 400, null],
    ['over', 400, { 'x-should-retry': 'true' }, 400, 'true'],
  ];
  const patient = new OpenAI({ baseURL: `${relay.url}/v1`, apiKey: 'test', maxRetries: 1 });
  for (const [model, replied, headers, status, retry] of failing) {
    const body = { error: { message: 'no' } };
    await upstream.script(model, { reply: { status: replied, headers, body } });
    const answer = await post(relay, { model, input: 'Hello' });
    assertError(answer, status);
    assert.equal(answer.headers.get('x-should-retry'), retry, model);
    if (replied === 429) assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    if (retry !== 'false') continue;
    const before = (await upstream.requests(model)).length;
    await assert.rejects(patient.responses.create({ model, input: 'Hello' }), { status });
    assert.equal((await upstream.requests(model)).length, before + 1, `${model} was not asked again`);
  }
});

test('a server that is full asks to be tried again later', async () => {
  await using small = await startHolt({
    configure: (config) => {
      config.worker.concurrency = 1;
      config.queue.max = 0;
      config.limits.foreground_wait = 1;
    },
  });
  const first = await create(small, otter(SILENT, { background: true }));
  for (const over of [{ background: true }, {}]) {
    const answer = await post(small, otter({}, over));
    assertError(answer, 429);
    assert.equal(answer.headers.get('x-should-retry'), 'true');
    assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  }
  await cancel(small, first.id);
});
