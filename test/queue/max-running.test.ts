import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Store } from '../../server/src/domain/ports.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { storeAround } from '../support/store-around.ts';
import { KEY, Stage, clientFor, ended, makeProjects, named } from './stage.ts';

/** No more background responses of a project run than `max_running` says, whatever happens at once. */

type Served = { holt: TestHolt; store: Store; clock: FakeClock };

async function serve(
  data: string,
  stage: Stage,
  queueMax = 1_000,
  wrapStore: (store: Store) => Store = (store) => store,
): Promise<Served> {
  let store: Store | undefined;
  // It stands still, so that nothing happens because housekeeping came by.
  const clock = new FakeClock();
  const holt = await startHolt({
    data,
    env: { HOLT_API_KEY: KEY },
    configure: (config) => {
      config.worker.concurrency = 16;
      config.queue.max = queueMax;
    },
    overrides: {
      clock,
      providers: [stage],
      wrapStore: (opened) => (store = wrapStore(opened)),
    },
  });
  assert.ok(store !== undefined);
  return { holt, store, clock };
}

test('a burst of creates starts as many as may run, and each end starts one more', async () => {
  const data = await temporaryDirectory();
  await makeProjects(data, { tight: { maxRunning: 3 } });
  const stage = new Stage();
  const { holt } = await serve(data, stage);
  await using _stop = holt;
  const client = clientFor(holt, 'tight');
  const made = await Promise.all(Array.from({ length: 40 }, () => client.responses.create(named('tight'))));
  let most = 0;
  for (let over = 0; over < 40; over += 1) {
    await stage.until(() => stage.started.length === Math.min(40, over + 3));
    most = Math.max(most, stage.running.length);
    if (over === 20) {
      // The others are not held up by those that wait for their own.
      const other = clientFor(holt, 'default');
      const { id } = await other.responses.create(named('other'));
      await stage.until(() => stage.running.some(({ label }) => label === 'other'));
      stage.release('other');
      await ended(other, id);
      stage.started.splice(stage.started.indexOf('other'), 1);
    }
    stage.running[0]?.release();
  }
  for (const { id } of made) assert.equal((await ended(client, id)).status, 'completed');
  assert.equal(most, 3);
});

test('a cancelled and a deleted response make room, and so does a larger number', async () => {
  const data = await temporaryDirectory();
  await makeProjects(data, { tight: { maxRunning: 1 } });
  const stage = new Stage();
  const { holt, store, clock } = await serve(data, stage);
  await using _stop = holt;
  const client = clientFor(holt, 'tight');
  const ids: string[] = [];
  for (let index = 0; index < 5; index += 1) {
    ids.push((await client.responses.create(named(`run ${index}`))).id);
  }
  await stage.until(() => stage.started.length === 1);
  await client.responses.cancel(ids[0]!);
  await stage.until(() => stage.started.length === 2);
  await client.responses.delete(ids[1]!);
  await stage.until(() => stage.started.length === 3);
  await store.updateProject('tight', { maxRunning: 2 }, Date.now());
  while (stage.started.length < 4) {
    clock.advance(1_000);
    await nextTurn();
  }
  assert.deepEqual(stage.started, ['run 0', 'run 1', 'run 2', 'run 3']);
  assert.equal((await client.responses.retrieve(ids[4]!)).status, 'queued');
  stage.release('run 2');
  await stage.until(() => stage.started.length === 5);
});

test('no upstream hears of a response that has to wait, though there are slots, also without a queue', async () => {
  const data = await temporaryDirectory();
  await makeProjects(data, { tight: { maxRunning: 2 } });
  const stage = new Stage();
  const { holt } = await serve(data, stage, 0);
  await using _stop = holt;
  const client = clientFor(holt, 'tight');
  for (const label of ['first', 'second']) await client.responses.create(named(label));
  await assert.rejects(client.responses.create(named('third')), { status: 429, code: 'rate_limit_exceeded' });
  await stage.until(() => stage.started.length === 2);
  // What runs in the foreground is not counted.
  const foreground = client.responses.create(named('foreground', { background: false }));
  await stage.until(() => stage.started.length === 3);
  stage.release('foreground');
  assert.equal((await foreground).status, 'completed');
  assert.deepEqual(stage.started, ['first', 'second', 'foreground']);
});

test('an end that comes while a claim is under way is not overlooked', async () => {
  const data = await temporaryDirectory();
  await makeProjects(data, { tight: { maxRunning: 1 } });
  const stage = new Stage();
  // The store has said that the second has to wait, and the server has not heard it yet.
  const said = Promise.withResolvers<void>();
  const heard = Promise.withResolvers<void>();
  const late = async (call: () => unknown): Promise<unknown> => {
    const result = (await call()) as Awaited<ReturnType<Store['claim']>>; // what the verb answers
    if (result.held.length === 0) return result;
    said.resolve();
    await heard.promise;
    return result;
  };
  const { holt } = await serve(data, stage, 1_000, (store) =>
    storeAround(store, (verb, call) => (verb === 'claim' ? late(call) : call())),
  );
  await using _stop = holt;
  const client = clientFor(holt, 'tight');
  const first = await client.responses.create(named('first'));
  await client.responses.create(named('second'));
  await said.promise;
  stage.release('first');
  await ended(client, first.id);
  heard.resolve();
  await stage.until(() => stage.started.length === 2);
  assert.deepEqual(stage.started, ['first', 'second']);
});

test('what a start finds running counts, and the queue goes on', async () => {
  const data = await temporaryDirectory();
  await makeProjects(data, { tight: { maxRunning: 1 } });
  const ids: string[] = [];
  {
    const stage = new Stage();
    const { holt } = await serve(data, stage);
    await using _stop = holt;
    for (const label of ['first', 'second']) {
      ids.push((await clientFor(holt, 'tight').responses.create(named(label))).id);
    }
    await stage.until(() => stage.started.length === 1);
  }
  const stage = new Stage();
  const { holt } = await serve(data, stage);
  await using _stop = holt;
  const client = clientFor(holt, 'tight');
  await stage.until(() => stage.started.length === 1);
  assert.equal((await client.responses.retrieve(ids[1]!)).status, 'queued');
  stage.release('first');
  await stage.until(() => stage.started.length === 2);
  stage.release('second');
  assert.equal((await ended(client, ids[1]!)).status, 'completed');
});
