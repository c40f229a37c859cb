import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { startDroppingProxy } from '../support/dropping-proxy.ts';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { findPython, runPython } from '../support/python.ts';
import { skipUnavailable } from '../support/unavailable.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';

/** A create whose answer the network loses is sent again by the official clients. With a key it runs once. */

let upstream: Upstream;
let holt: TestHolt;
before(async () => {
  upstream = await startUpstream();
  holt = await startHolt({ flags: ['--upstream', upstream.url] });
});
after(async () => {
  await holt.stop();
  await upstream.stop();
});

/** With its usual number of retries. */
const clientAt = (url: string): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'test' });
const withKey = (key: string): OpenAI.RequestOptions => ({ headers: { 'Idempotency-Key': key } });
const ask = (model: string) => ({ model, input: 'Hello', background: true }) as const;

test('without a key the Node client makes one response more for each lost answer', async () => {
  await using proxy = await startDroppingProxy(holt.url, 2);
  const { id } = await clientAt(proxy.url).responses.create(ask('node without'));
  assert.equal(proxy.dropped, 2);
  await upstream.waitForRequest('node without', 3);
  await holt.client.responses.retrieve(id);
});

test('without retries a lost answer is an error, and one response', async () => {
  await using proxy = await startDroppingProxy(holt.url, 1);
  const client = clientAt(proxy.url).withOptions({ maxRetries: 0 });
  await assert.rejects(client.responses.create(ask('node patient')), OpenAI.APIConnectionError);
  assert.equal((await holt.client.responses.create(ask('node patient'))).status, 'queued');
  await upstream.waitForRequest('node patient', 2);
  assert.equal((await upstream.requests('node patient')).length, 2, 'the lost one, and the one of now');
});

test('with one it runs once, and the last answer is that of the first', async () => {
  await using proxy = await startDroppingProxy(holt.url, 2);
  const client = clientAt(proxy.url);
  const { data, response } = await client.responses.create(ask('node'), withKey('node-1')).withResponse();
  assert.equal(proxy.dropped, 2);
  assert.equal(response.headers.get('idempotent-replayed'), 'true');
  let last = data;
  while (last.status !== 'completed') last = await client.responses.retrieve(data.id);
  assert.equal(last.output_text, 'Hello from the upstream.');
  assert.equal((await upstream.requests('node')).length, 1);
});

test('a stream is told from its first event', async () => {
  await using proxy = await startDroppingProxy(holt.url, 1);
  const stream = await clientAt(proxy.url).responses.create({ ...ask('node stream'), stream: true }, withKey('node-2'));
  const numbers: number[] = [];
  let text = '';
  for await (const event of stream) {
    numbers.push(event.sequence_number);
    if (event.type === 'response.output_text.delta') text += event.delta;
  }
  assert.equal(proxy.dropped, 1);
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index),
  );
  assert.equal(text, 'Hello from the upstream.');
  assert.equal((await upstream.requests('node stream')).length, 1);
});

test('a key that was used for another request is told once', async () => {
  let asked = 0;
  const client = clientAt(holt.url).withOptions({
    fetch: (input, init) => {
      asked += 1;
      return fetch(input, init);
    },
  });
  await client.responses.create(ask('node twice'), withKey('node-3'));
  await assert.rejects(client.responses.create({ ...ask('node twice'), input: 'Hello!' }, withKey('node-3')), {
    status: 400,
    code: 'idempotency_key_reused',
  });
  assert.equal(asked, 2);
});

test('so it is with the Python client, streamed and not', async (t) => {
  const python = await findPython();
  if ('missing' in python) return skipUnavailable(t, python.missing);
  await using plain = await startDroppingProxy(holt.url, 2);
  await using streaming = await startDroppingProxy(holt.url, 1);
  const ran = await runPython(
    python.interpreter,
    { file: 'contract/python/idempotent.py' },
    {
      OPENAI_BASE_URL: `${plain.url}/v1`,
      STREAMING_BASE_URL: `${streaming.url}/v1`,
      OPENAI_API_KEY: 'test',
      MODEL: 'python',
    },
  );
  assert.equal(ran.code, 0, ran.stderr);
  assert.deepEqual([plain.dropped, streaming.dropped], [2, 1]);
  assert.equal((await upstream.requests('python')).length, 2, 'one for each of the two keys');
});
