import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  EventReader,
  assertWholeStream,
  cancel,
  create,
  get,
  hasEnded,
  idIn,
  otter,
  poll,
  remove,
  responseIn,
  responseOf,
  streamUrl,
} from '../contract/wire.ts';
import { checkTold, largeStory, pollToEnd, somePace, someStory } from './client.ts';
import type { Client } from './client.ts';

/** What clients do with a single response, and what they must see. */

const LOOK_UP = { type: 'function', name: 'look_up', parameters: { type: 'object', properties: {} } };
/** A model that goes on for minutes. */
const ENDLESS = { tokens: 20_000, interval_ms: 10 };

export async function streamInBackground(client: Client): Promise<void> {
  const story = someStory(client);
  const reasoning = client.random.pick([0, 0, 15]);
  const body = otter({ ...story, ...somePace(client), reasoning_tokens: reasoning }, { background: true });
  const frames = await (await EventReader.create(client.holt, body)).rest();
  assertWholeStream(frames);
  const final = responseOf(frames.at(-1));
  checkTold(client, story, final);
  assert.deepEqual(await poll(client.holt, final.id), final);
  client.ends.seen(final.id, final.status);
}

export async function pollInBackground(client: Client): Promise<void> {
  const story = someStory(client);
  const { id } = await create(client.holt, otter({ ...story, ...somePace(client) }, { background: true }));
  const final = await pollToEnd(client, id);
  checkTold(client, story, final);
  client.ends.seen(id, final.status);
}

export async function waitInBackground(client: Client): Promise<void> {
  const story = someStory(client);
  const { id } = await create(client.holt, otter({ ...story, ...somePace(client) }, { background: true }));
  const final = responseIn(await get(client.holt, `responses/${id}?wait=30`));
  checkTold(client, story, final);
  client.ends.seen(id, final.status);
}

/** Drops its stream, comes back with its cursor, and may do so again. */
export async function resumeInBackground(client: Client): Promise<void> {
  const { holt, random } = client;
  const story = someStory(client);
  let reader = await EventReader.create(holt, otter({ ...story, ...somePace(client) }, { background: true }));
  const frames = await reader.take(1 + random.below(5));
  const id = idIn(frames[0]);
  for (let drops = 1 + random.below(2); drops > 0; drops -= 1) {
    reader.leave();
    await sleep(random.pick([0, 5, 300]));
    client.count('resumes');
    reader = await EventReader.open(streamUrl(holt, id, `&starting_after=${frames.length - 1}`));
    if (drops > 1) frames.push(...(await takeSome(reader, random.below(20))));
  }
  frames.push(...(await reader.rest()));
  assertWholeStream(frames);
  const final = responseOf(frames.at(-1));
  checkTold(client, story, final);
  client.ends.seen(id, final.status);
}

/** Up to so many events, or to the end. */
async function takeSome(reader: EventReader, most: number): Promise<Awaited<ReturnType<EventReader['rest']>>> {
  const frames = [];
  while (frames.length < most) {
    const frame = await reader.next();
    if (frame === undefined) break;
    frames.push(frame);
  }
  return frames;
}

export async function largeInBackground(client: Client): Promise<void> {
  const story = largeStory(client);
  const body = otter(story, { background: true });
  const reader = await EventReader.create(client.holt, body);
  const [first] = await reader.take(1);
  const id = idIn(first);
  // To read and judge one costs the load more than a hundred others, so only some are.
  if (client.random.chance(0.5)) assertWholeStream([first!, ...(await reader.rest())]);
  else reader.leave();
  const final = await pollToEnd(client, id);
  checkTold(client, story, final);
  client.ends.seen(id, final.status);
}

/** Leaves for good: the response goes on, and nobody asks for it. */
export async function abandonInBackground(client: Client): Promise<void> {
  const body = otter({ ...someStory(client), ...somePace(client) }, { background: true });
  const reader = await EventReader.create(client.holt, body);
  await reader.take(1 + client.random.below(4));
  reader.leave();
}

export async function inForeground(client: Client): Promise<void> {
  const story = someStory(client);
  const store = client.random.chance(0.5);
  const response = await create(client.holt, otter({ ...story, ...somePace(client) }, { store }));
  checkTold(client, story, response);
  const again = await get(client.holt, `responses/${response.id}`);
  assert.equal(again.status, store && client.stores ? 200 : 404, again.text);
}

export async function streamInForeground(client: Client): Promise<void> {
  const story = someStory(client);
  const store = client.random.chance(0.5);
  const reader = await EventReader.create(client.holt, otter({ ...story, ...somePace(client) }, { store }));
  const frames = await reader.rest();
  assertWholeStream(frames);
  checkTold(client, story, responseOf(frames.at(-1)));
}

/** Its client leaves, so its run has to end. */
export async function leaveForeground(client: Client): Promise<void> {
  const reader = await EventReader.create(client.holt, otter(ENDLESS, { store: client.random.chance(0.5) }));
  await reader.take(3 + client.random.below(20));
  reader.leave();
}

export async function cancelInBackground(client: Client): Promise<void> {
  const { holt, random } = client;
  const body = otter({ ...ENDLESS, first_token_ms: random.pick([0, 0, 60_000]) }, { background: true });
  const reader = random.chance(0.5) ? await EventReader.create(holt, body) : undefined;
  const id = reader === undefined ? (await create(holt, body)).id : idIn((await reader.take(1))[0]);
  await sleep(random.below(200));
  const cancelled = responseIn(await cancel(holt, id));
  assert.equal(cancelled.status, 'cancelled');
  assert.deepEqual(responseOf((await reader?.rest())?.at(-1) ?? asFrame(cancelled)), cancelled);
  assert.deepEqual(await poll(holt, id), cancelled);
  client.ends.seen(id, cancelled.status);
}

function asFrame(response: object): Parameters<typeof responseOf>[0] {
  return { event: '', text: '', data: { type: '', sequence_number: 0, response } };
}

/** Running or ended: afterwards there is none of that id. */
export async function deleteInBackground(client: Client): Promise<void> {
  const { holt, random } = client;
  const running = random.chance(0.5);
  const body = otter(running ? ENDLESS : { ...someStory(client) }, { background: true });
  const { id } = await create(holt, body);
  if (!running) await pollToEnd(client, id);
  const deleted = await remove(holt, id);
  assert.equal(deleted.status, 200, deleted.text);
  for (const path of [id, `${id}?stream=true`, `${id}/input_items`]) {
    const answer = await get(holt, `responses/${path}`);
    assert.equal(answer.status, 404, answer.text);
  }
}

export async function fail(client: Client): Promise<void> {
  const { holt, random } = client;
  const body = otter({ tokens: 40, fail_after: random.below(30), ...somePace(client) }, { background: true });
  const { id } = await create(holt, body);
  const failed = await pollToEnd(client, id);
  assert.equal(failed.status, 'failed');
  assert.equal(failed.error?.code, 'server_error');
  client.ends.seen(id, failed.status);
}

export async function runOutOfTokens(client: Client): Promise<void> {
  const body = otter({ tokens: 100 }, { background: true, max_output_tokens: 16 });
  const frames = await (await EventReader.create(client.holt, body)).rest();
  assertWholeStream(frames);
  const final = responseOf(frames.at(-1));
  assert.equal(final.status, 'incomplete');
  client.ends.seen(final.id, final.status);
}

export async function callTool(client: Client): Promise<void> {
  const body = otter({ tool_call: 'look_up' }, { background: true, tools: [LOOK_UP] });
  const frames = await (await EventReader.create(client.holt, body)).rest();
  assertWholeStream(frames);
  const final = responseOf(frames.at(-1));
  assert.ok(hasEnded(final) && final.output.some(({ type }) => type === 'function_call'));
  client.ends.seen(final.id, final.status);
}
