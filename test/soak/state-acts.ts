import assert from 'node:assert/strict';
import { call, create, get, otter, poll, post, remove } from '../contract/wire.ts';
import type { Answer } from '../contract/wire.ts';
import { ALL } from '../contract/webhook-endpoint.ts';
import { checkTold, pollToEnd, somePace, someStory } from './client.ts';
import type { Client } from './client.ts';

/** What clients do with several responses, and what else they ask for. */

/** Three turns, each on the one before; then the first is deleted. */
export async function chain(client: Client): Promise<void> {
  const { holt, random } = client;
  const ids: string[] = [];
  for (let turn = 1; turn <= 3; turn += 1) {
    const story = someStory(client);
    const background = random.chance(0.7);
    const previous = ids.at(-1);
    const body = otter(story, { background, ...(previous === undefined ? {} : { previous_response_id: previous }) });
    const { id } = await create(holt, body);
    const final = await pollToEnd(client, id);
    checkTold(client, story, final);
    assert.equal(final.previous_response_id, previous ?? null);
    if (background) client.ends.seen(id, final.status);
    const items = ok(await get(holt, `responses/${id}/input_items?limit=100`)) as { data: unknown[] };
    assert.equal(items.data.length, 2 * turn - 1);
    ids.push(id);
  }
  // What was built on a response does not go with it.
  ok(await remove(holt, ids[0]!));
  await poll(holt, ids[1]!);
}

/** A conversation with two turns, that is deleted in the end. */
export async function converse(client: Client): Promise<void> {
  const { holt, random } = client;
  const made = ok(await post(holt, { metadata: { topic: 'otters' } }, {}, 'conversations')) as { id: string };
  const path = `conversations/${made.id}`;
  ok(await post(holt, { items: [{ role: 'user', content: 'We talk about otters.' }] }, {}, `${path}/items`));
  for (let turn = 1; turn <= 2; turn += 1) {
    const story = someStory(client);
    const background = random.chance(0.7);
    const body = otter({ ...story, ...somePace(client) }, { background, conversation: made.id });
    const { id } = await create(holt, body);
    const final = await pollToEnd(client, id);
    checkTold(client, story, final);
    if (background) client.ends.seen(id, final.status);
    const items = ok(await get(holt, `${path}/items?limit=100`)) as { data: { id: string }[] };
    assert.equal(items.data.length, 1 + 2 * turn);
    if (turn === 2) ok(await call('DELETE', `${holt.url}/v1/${path}/items/${items.data[0]!.id}`));
  }
  ok(await call('DELETE', `${holt.url}/v1/${path}`));
  assert.equal((await get(holt, `${path}/items`)).status, 404);
}

/** An endpoint that is there for a moment, and whatever is told to it meanwhile. */
export async function subscribeBriefly(client: Client): Promise<void> {
  const { holt, ends } = client;
  const wanted = { name: 'soak', url: ends.elsewhere, event_types: ALL };
  const made = ok(await post(holt, wanted, {}, 'webhook_endpoints')) as { id: string };
  const { id } = await create(holt, otter({ tokens: 3 }, { background: true }));
  const final = await pollToEnd(client, id);
  client.ends.seen(id, final.status);
  ok(await get(holt, `webhook_endpoints/${made.id}/deliveries`));
  ok(await call('DELETE', `${holt.url}/v1/webhook_endpoints/${made.id}`));
}

/** What belongs to no response. */
export async function look(client: Client): Promise<void> {
  const { holt, random } = client;
  const absent = `resp_${random.below(1e9)}`;
  const input = { model: 'otter', input: `Count me, ${random.below(1e9)}.` };
  const asks: (() => Promise<[Answer, number]>)[] = [
    async () => [await get(holt, 'models'), 200],
    async () => [await get(holt, 'webhook_endpoints'), 200],
    async () => [await call('GET', `${holt.url}/healthz`), 200],
    async () => [await call('GET', `${holt.url}/readyz`), 200],
    async () => [await call('GET', `${holt.url}/openapi.json`), 200],
    async () => [await post(holt, input, {}, 'responses/input_tokens'), 200],
    async () => [await get(holt, `responses/${absent}`), 404],
    async () => [await call('GET', `${holt.url}/v1/${absent}`), 404],
    async () => [await post(holt, { model: 'otter', input: { no: absent } }), 400],
    async () => [await post(holt, `{"model": ${absent}`), 400],
    async () => [await post(holt, { ...input, previous_response_id: absent }), 400],
  ];
  const [answer, status] = await random.pick(asks)();
  assert.equal(answer.status, status, answer.text);
}

function ok(answer: Answer): unknown {
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text);
}
