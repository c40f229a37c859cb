import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { deliveriesOf, subscribe } from '../contract/webhook-endpoint.ts';
import { EventReader, create, get, idIn, poll, pollUntil, post, responseIn } from '../contract/wire.ts';
import type { Answer } from '../contract/wire.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { Stage, named } from './stage.ts';

/** What a response in the queue says of its place, and when it has waited long enough. */

const PLACE = 'holt-queue-position';
const WAIT = 'holt-queue-wait-ms';

function serve(stage: Stage, clock: FakeClock, maxWaitMs: number | null, data?: string): Promise<TestHolt> {
  return startHolt({
    ...(data !== undefined && { data }),
    configure: (config) => {
      config.worker.concurrency = 1;
      config.queue.max_wait = maxWaitMs;
      config.webhooks = { allow_http: true, allow_private: true };
    },
    overrides: { clock, providers: [stage] },
  });
}

function placeIn({ headers }: Pick<Answer, 'headers'>): [position: string | null, waited: string | null] {
  return [headers.get(PLACE), headers.get(WAIT)];
}

/** Lets time pass by a second, again and again, as housekeeping sees it, until `there` holds. */
async function passUntil(clock: FakeClock, there: () => Promise<boolean>): Promise<void> {
  while (!(await there())) {
    clock.advance(1_000);
    await nextTurn();
  }
}

test('a queued response says how many are before it and how long it has waited; then how long it had', async () => {
  const clock = new FakeClock();
  const stage = new Stage();
  await using holt = await serve(stage, clock, null);
  const first = await post(holt, named('first'));
  assert.deepEqual(placeIn(first), [null, null], 'it has a slot');
  const ids = [responseIn(first).id];
  for (const [index, label] of ['second', 'third'].entries()) {
    const answer = await post(holt, named(label));
    assert.deepEqual(placeIn(answer), [String(index + 1), null]);
    ids.push(responseIn(answer).id);
  }
  const reader = await EventReader.create(holt, named('urgent', { service_tier: 'priority' }));
  assert.equal(reader.headers.get(PLACE), '1', 'also a stream, by its priority');
  ids.push(idIn((await reader.take(2))[0]));

  clock.advance(1_500);
  const places = async () => Promise.all(ids.map(async (id) => placeIn(await get(holt, `responses/${id}`))));
  assert.deepEqual(await places(), [
    [null, '0'],
    ['2', '1500'],
    ['3', '1500'],
    ['1', '1500'],
  ]);
  stage.release('first');
  await stage.until(() => stage.started.length === 2);
  await pollUntil(holt, ids[0]!);
  clock.advance(700);
  assert.deepEqual(await places(), [
    [null, '0'],
    ['1', '2200'],
    ['2', '2200'],
    [null, '1500'],
  ]);
  stage.holds = () => false;
  stage.release('urgent');
  for (const id of ids) await pollUntil(holt, id);
  assert.deepEqual(await places(), [
    [null, '0'],
    [null, '2200'],
    [null, '2200'],
    [null, '1500'],
  ]);
  const waited = await get(holt, `responses/${ids[3]}?wait=1`);
  assert.deepEqual(placeIn(waited), [null, '1500']);
  const foreground = await create(holt, named('foreground', { background: false }));
  assert.deepEqual(placeIn(await get(holt, `responses/${foreground.id}`)), [null, null]);
});

test('what has waited for queue.max_wait fails, once, for its readers and for webhooks', async () => {
  const clock = new FakeClock();
  const stage = new Stage();
  await using holt = await serve(stage, clock, 60_000);
  const receiver = createServer((_, answer) => void answer.writeHead(500).end()).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const { port } = receiver.address() as AddressInfo;
  const endpoint = await subscribe(holt, `http://127.0.0.1:${port}/`);
  await create(holt, named('running'));
  const early = await EventReader.create(holt, named('early'));
  const id = idIn((await early.take(2))[0]);
  clock.advance(30_000);
  const late = await create(holt, named('late'));
  assert.equal((await poll(holt, id)).status, 'queued');
  await passUntil(clock, async () => (await poll(holt, id)).status !== 'queued');
  const failed = await poll(holt, id);
  assert.equal(failed.status, 'failed');
  assert.equal(failed.error?.code, 'rate_limit_exceeded');
  assert.match(failed.error?.message ?? '', /\b6\d s\b.*queue\.max_wait/);
  const events = await early.rest();
  assert.deepEqual(
    events.map(({ event }) => event),
    ['response.failed'],
  );
  assert.equal((await poll(holt, late.id)).status, 'queued', 'it has not waited so long');
  const told = (await deliveriesOf(holt, endpoint.id)).map(({ type, response_id }) => [type, response_id]);
  assert.deepEqual(told, [['response.failed', id]]);
  stage.holds = () => false;
  stage.release('running');
  assert.equal((await pollUntil(holt, late.id)).status, 'completed');
  assert.deepEqual(stage.started, ['running', 'late']);
  receiver.close();
});

test('a slot that comes free too late is not given to what has waited too long', async () => {
  const clock = new FakeClock();
  const stage = new Stage();
  await using holt = await serve(stage, clock, 60_000);
  await create(holt, named('running'));
  const { id } = await create(holt, named('overdue'));
  // In one step: no housekeeping has seen it in between.
  clock.advance(60_000);
  stage.holds = () => false;
  stage.release('running');
  const fresh = await create(holt, named('fresh'));
  await pollUntil(holt, fresh.id);
  await passUntil(clock, async () => (await poll(holt, id)).status !== 'queued');
  assert.equal((await poll(holt, id)).status, 'failed');
  assert.deepEqual(stage.started, ['running', 'fresh']);
});

test('the time that a server is down is waiting, too; who died while it ended one leaves it to the next', async () => {
  const data = await temporaryDirectory();
  const clock = new FakeClock();
  const ids: string[] = [];
  {
    await using holt = await serve(new Stage(), clock, 60_000, data);
    for (const label of ['running', 'taken', 'overdue']) ids.push((await create(holt, named(label))).id);
  }
  const store = await SqliteStore.open(data);
  const [taken] = await store.takeOverdue('who died', clock.now(), 1);
  assert.equal(taken?.id, ids[1]);
  await store.close();

  const later = new FakeClock(clock.now() + 61_000);
  const stage = new Stage(() => false);
  await using holt = await serve(stage, later, 60_000, data);
  const [running, ...waiting] = ids;
  assert.equal((await pollUntil(holt, running!)).status, 'completed', 'its turn had come');
  for (const id of waiting) {
    await passUntil(later, async () => (await poll(holt, id)).status !== 'queued');
    const { status, error } = await poll(holt, id);
    assert.deepEqual([status, error?.code], ['failed', 'rate_limit_exceeded']);
  }
  assert.deepEqual(stage.started, ['running']);
});
