import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import { StoreUnavailable } from '../../server/src/domain/ports.ts';
import type { Log, Store } from '../../server/src/domain/ports.ts';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeClock } from '../support/clock.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';

/** What goes wrong inside must not end the process, nor what has nothing to do with it. */

const SLOW = { 'scripted.first_token_ms': '3600000' };
const FAST = { 'scripted.tokens': '3', 'scripted.first_token_ms': '0', 'scripted.interval_ms': '0' };

/** A store whose `verb` is `instead` while it gives something. */
function faulty(verb: keyof Store, instead: () => Promise<never> | undefined): (store: Store) => Store {
  return (store) =>
    new Proxy(store, {
      get: (target, key) => {
        const own: unknown = Reflect.get(target, key);
        if (typeof own !== 'function') return own;
        return (...args: unknown[]): unknown => (key === verb ? instead() : undefined) ?? own.apply(target, args);
      },
    });
}

test('a fault of the housekeeping is logged, and the next tick tries again', async () => {
  const complained = Promise.withResolvers<void>();
  const sweptAgain = Promise.withResolvers<void>();
  let sweeps = 0;
  const log: Log = { debug() {}, info() {}, warn() {}, error: () => complained.resolve() };
  await using _holt = await startHolt({
    overrides: {
      log,
      wrapStore: faulty('sweep', () => {
        sweeps += 1;
        if (sweeps === 2) sweptAgain.resolve();
        return sweeps === 1 ? Promise.reject(new TypeError('a bug')) : undefined;
      }),
    },
  });
  await complained.promise;
  await sweptAgain.promise;
});

test('a store that refuses to append for a while loses nothing', async () => {
  let refusals = 3;
  await using holt = await startHolt({
    overrides: {
      wrapStore: faulty('append', () => {
        refusals -= 1;
        return refusals >= 0 ? Promise.reject(new StoreUnavailable('the disk is full')) : undefined;
      }),
    },
  });
  const stream = await holt.client.responses.create({
    model: 'otter',
    input: 'x',
    background: true,
    stream: true,
    metadata: FAST,
  });
  const numbers: number[] = [];
  let last = '';
  for await (const event of stream) {
    numbers.push(event.sequence_number);
    last = event.type;
  }
  assert.equal(last, 'response.completed');
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index),
  );
});

test('a store that refuses to create is a 503, and leaves no response and no upstream call behind', async () => {
  let refuse = true;
  await using holt = await startHolt({
    overrides: {
      wrapStore: faulty('create', () => (refuse ? Promise.reject(new StoreUnavailable('full')) : undefined)),
    },
  });
  const create = { model: 'otter', input: 'x', background: true, metadata: FAST };
  await assert.rejects(holt.client.responses.create(create), (error: { status?: number; code?: string }) => {
    assert.equal(error.status, 503);
    assert.equal(error.code, 'store_unavailable');
    return true;
  });
  refuse = false;
  assert.equal((await holt.client.responses.create(create)).status, 'queued');
});

test("a create whose answer is late is nobody else's to run", async () => {
  const clock = new FakeClock();
  await using upstream = await startUpstream();
  const committed = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const looked = { times: 0 };
  const holt = await startHolt({
    flags: ['--upstream', upstream.url],
    overrides: {
      clock,
      wrapStore: (store) =>
        Object.assign(Object.create(store) as Store, {
          create: async (...args: Parameters<Store['create']>) => {
            const made = await store.create(...args);
            committed.resolve();
            await answer.promise;
            return made;
          },
          listOwned: (...args: Parameters<Store['listOwned']>) => {
            looked.times += 1;
            return store.listOwned(...args);
          },
          close: () => store.close(),
        }),
    },
  });
  const { id } = await holt.client.conversations.create();
  const created = holt.client.responses.create({ model: 'm', input: 'x', background: true, conversation: id });
  await committed.promise;
  // A lease period passes, and the look for strays is over when the next tick is set.
  while (looked.times === 0 || !clock.timers.includes(1_000)) {
    clock.advance(clock.timers.includes(1_000) ? 1_000 : 0);
    await sleep(2);
  }
  answer.resolve();
  const response = await created;
  while ((await holt.client.responses.retrieve(response.id)).status !== 'completed') await sleep(2);
  assert.equal((await upstream.requests('m')).length, 1);
  const stopped = holt.stop();
  await clock.waitForTimer(100);
  clock.advance(100);
  await stopped;
});

test('what is claimed while the server begins to stop is handed back, and no try of it is counted', async () => {
  const data = await temporaryDirectory();
  const looked = Promise.withResolvers<void>();
  const look = Promise.withResolvers<void>();
  let second = '';
  const holt = await startHolt({
    data,
    configure: (config) => (config.worker.concurrency = 1),
    overrides: {
      wrapStore: (store) =>
        Object.assign(Object.create(store) as Store, {
          find: async (...args: Parameters<Store['find']>) => {
            if (args[1] === second) {
              looked.resolve();
              await look.promise;
            }
            return store.find(...args);
          },
          close: () => store.close(),
        }),
    },
  });
  const body = { model: 'otter', input: 'x', background: true, metadata: SLOW };
  const first = await holt.client.responses.create(body);
  const queued = await holt.client.responses.create(body);
  second = queued.id;
  await holt.client.responses.cancel(first.id);
  await looked.promise;
  const stopped = holt.stop();
  look.resolve();
  await stopped;
  const store = await SqliteStore.open(data);
  const row = await store.find('default', second, Date.now());
  await store.close();
  assert.equal(row?.workerId, null);
  assert.equal(row.attempt, 0);
  await rm(data, { recursive: true });
});

test('a damaged log is named and its response ends; the others are recovered', async () => {
  const data = await temporaryDirectory();
  const first = await startHolt({ data });
  const damaged = await first.client.responses.create({ model: 'otter', input: 'x', background: true, metadata: SLOW });
  const sound = await first.client.responses.create({ model: 'otter', input: 'x', background: true, metadata: SLOW });
  await first.client.responses.retrieve(sound.id);
  await first.stop();
  const database = new DatabaseSync(join(data, 'holt.db'));
  database.exec(`update chunk set body = x'0f00' where n = 0 and response_no =
    (select no from response where id = '${damaged.id}')`);
  database.close();

  const complaints: object[] = [];
  const log: Log = { debug() {}, info() {}, warn() {}, error: (fields) => complaints.push(fields) };
  const second = await startHolt({ data, overrides: { log } });
  assert.equal((await second.client.responses.retrieve(sound.id)).status, 'in_progress');
  assert.equal((await second.client.responses.cancel(sound.id)).status, 'cancelled');
  assert.deepEqual(
    complaints.map((fields) => 'response_id' in fields && fields.response_id),
    [damaged.id],
  );
  await second.stop();
  await rm(data, { recursive: true });
});
