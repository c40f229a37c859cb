import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { SILENT, call, cancel, create, get, otter, pollUntil } from './wire.ts';

/** HEAD, and what answers say in their headers. */

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
  const head = await call('HEAD', `${holt.url}/v1/responses/${id}?stream=true`);
  assert.deepEqual([head.status, head.text], [200, '']);
  assert.equal(head.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  assert.match((await get(holt, `responses/${id}`)).text, /"status":"in_progress"/);
  await cancel(holt, id);
});

test('HEAD where there is no GET is a method that is not served', async () => {
  for (const path of ['/v1/responses', '/v1/responses/resp_123/cancel']) {
    assert.equal((await call('HEAD', holt.url + path)).status, 404);
  }
});
