import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { judgedFetch } from '../support/official.ts';

/**
 * The programs of the background mode guide, in our own words and with the official client for Node. Nothing in them
 * knows Holt: the address and the key come from the environment, as a program of OpenAI's users has them.
 */

let holt: TestHolt;
const environment = { ...process.env };
const { fetch } = globalThis;
before(async () => {
  holt = await startHolt();
  process.env['OPENAI_BASE_URL'] = `${holt.url}/v1`;
  process.env['OPENAI_API_KEY'] = 'any key';
  globalThis.fetch = judgedFetch;
});
after(async () => {
  globalThis.fetch = fetch;
  process.env = environment;
  await holt.stop();
});

const novel = { model: 'gpt-5.2', input: 'Write a very long novel about otters in space.' };
/** A short novel, so that a test need not read a long one. */
const metadata = { 'scripted.tokens': '30', 'scripted.first_token_ms': '5', 'scripted.interval_ms': '2' };

test('create: the answer comes before the novel', async () => {
  const client = new OpenAI();
  const response = await client.responses.create({ ...novel, background: true });
  assert.equal(response.status, 'queued');
});

test('poll: while it is queued or in progress, ask again', async () => {
  const client = new OpenAI();
  let response = await client.responses.create({ ...novel, background: true, metadata });
  while (response.status === 'queued' || response.status === 'in_progress') {
    await sleep(5);
    response = await client.responses.retrieve(response.id);
  }
  assert.equal(response.status, 'completed');
  assert.notEqual(response.output_text, '');
});

test('cancel: it can be cancelled while it runs, and cancelling twice answers the final response', async () => {
  const client = new OpenAI();
  const { id } = await client.responses.create({ ...novel, background: true });
  const once = await client.responses.cancel(id);
  assert.equal(once.status, 'cancelled');
  const twice = await client.responses.cancel(id);
  assert.deepEqual(twice, once);
  assert.equal((await client.responses.retrieve(id)).status, 'cancelled');
});

test('cancel: the id in the guide is nobody’s', async () => {
  await assert.rejects(new OpenAI().responses.cancel('resp_123'), OpenAI.NotFoundError);
});

test('stream: a cursor is kept, the connection drops, and the rest comes after the cursor', async () => {
  const client = new OpenAI();
  const stream = await client.responses.create({ ...novel, background: true, stream: true, metadata });
  let cursor: number | null = null;
  let id = '';
  let text = '';
  for await (const event of stream) {
    if (event.type === 'response.created') id = event.response.id;
    if (event.type === 'response.output_text.delta') text += event.delta;
    cursor = event.sequence_number;
    if (cursor === 15) break;
  }
  assert.equal(cursor, 15);

  const resumed = await client.responses.retrieve(id, { stream: true, starting_after: cursor });
  for await (const event of resumed) {
    assert.equal(event.sequence_number, cursor + 1);
    cursor = event.sequence_number;
    if (event.type === 'response.output_text.delta') text += event.delta;
    if (event.type === 'response.completed') assert.equal(event.response.id, id);
  }
  const response = await client.responses.retrieve(id);
  assert.equal(response.status, 'completed');
  assert.equal(response.output_text, text);
});

test('stream: the helper of the client resumes by the id and the cursor', async () => {
  const client = new OpenAI();
  const stream = client.responses.stream({ ...novel, background: true, metadata });
  let id = '';
  let cursor = -1;
  for await (const event of stream) {
    if (event.type === 'response.created') id = event.response.id;
    cursor = event.sequence_number;
    if (cursor === 10) break;
  }
  const resumed = client.responses.stream({ response_id: id, starting_after: cursor });
  for await (const event of resumed) {
    assert.equal(event.sequence_number, cursor + 1);
    cursor = event.sequence_number;
  }
  assert.equal((await resumed.finalResponse()).status, 'completed');
});

test('limits: background needs store, and only what was created with stream is streamed', async () => {
  const client = new OpenAI();
  await assert.rejects(client.responses.create({ ...novel, background: true, store: false }), OpenAI.BadRequestError);
  const { id } = await client.responses.create({ ...novel, background: true, metadata });
  await assert.rejects(client.responses.retrieve(id, { stream: true }), OpenAI.BadRequestError);
});

test('limits: a synchronous response is ended by ending its connection', async () => {
  const client = new OpenAI();
  const stream = await client.responses.create({ ...novel, stream: true });
  let id = '';
  for await (const event of stream) {
    if (event.type === 'response.created') id = event.response.id;
    if (event.type === 'response.in_progress') break;
  }
  await assert.rejects(client.responses.cancel(id), OpenAI.NotFoundError);
});
