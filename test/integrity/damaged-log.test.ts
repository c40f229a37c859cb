import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { diagnose } from '../../server/src/doctor.ts';
import { StoreDamaged } from '../../server/src/domain/ports.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import { FakeClock } from '../support/clock.ts';
import { storeAround } from '../support/store-around.ts';
import {
  EventReader,
  SILENT,
  assertError,
  cancel,
  create,
  get,
  idIn,
  otter,
  poll,
  pollUntil,
  remove,
  responseIn,
  textOf,
} from '../contract/wire.ts';
import type { Served, WireResponse } from '../contract/wire.ts';
import { spawnHolt, startHolt, temporaryDirectory } from '../support/holt.ts';
import { copyOf, tamper } from './directory.ts';

/** A response whose log is damaged before it has ended: it ends all the same, it can be deleted, and others don't mind. */

const ROW = (id: string): string => `response_no = (select no from response where id = '${id}')`;

/** Has said something, and is far from its end. */
async function createHalf(holt: Served): Promise<WireResponse> {
  const reader = await EventReader.create(holt, otter({ tokens: 20_000, interval_ms: 5 }, { background: true }));
  const frames = await reader.take(({ data }) => data['sequence_number'] === 30);
  reader.leave();
  return poll(holt, idIn(frames[0]));
}

describe('after a start', () => {
  let killed: string;
  let damaged: WireResponse;
  let sound: string;
  before(async () => {
    const holt = await spawnHolt({ data: await temporaryDirectory() });
    killed = holt.data;
    sound = (await create(holt, otter(SILENT, { background: true }))).id;
    damaged = await createHalf(holt);
    await holt.kill();
  });
  after(() => rm(killed, { recursive: true }));

  type Damage = { name: string; sql: (id: string) => string; keeps: 'some' | 'none'; says: RegExp };
  const LOG = /^The log of this response is damaged: what it said from event \d+ on can not be read any more\.$/;
  const DAMAGES: Damage[] = [
    {
      name: 'a chunk in the middle is no records',
      sql: (id) =>
        `update chunk set body = x'3f00' where ${ROW(id)} and n =
          (select max(n) from chunk where ${ROW(id)} and count > 0)`,
      keeps: 'some',
      says: LOG,
    },
    {
      name: 'a chunk in the middle is empty',
      sql: (id) =>
        `update chunk set body = x'' where ${ROW(id)} and n =
          (select max(n) from chunk where ${ROW(id)} and count > 0)`,
      keeps: 'some',
      says: LOG,
    },
    {
      name: 'a chunk in the middle is gone',
      sql: (id) =>
        `delete from chunk where ${ROW(id)} and n =
          (select max(n) - 1 from chunk where ${ROW(id)} and count > 0)`,
      keeps: 'some',
      says: LOG,
    },
    {
      name: 'the first chunk is no records',
      sql: (id) => `update chunk set body = x'3f00' where n = 0 and ${ROW(id)}`,
      keeps: 'none',
      says: LOG,
    },
    { name: 'all of it is gone', sql: (id) => `delete from chunk where ${ROW(id)}`, keeps: 'none', says: LOG },
    {
      name: 'it is closed, and has no end',
      sql: (id) => `update chunk set closed = 1 where ${ROW(id)} and n = (select max(n) from chunk where ${ROW(id)})`,
      keeps: 'some',
      says: /./,
    },
    {
      name: 'what was asked is no JSON',
      sql: (id) => `update response set request = x'00' where id = '${id}'`,
      keeps: 'some',
      says: /^What this response was asked is damaged, and can not be read any more\.$/,
    },
  ];

  for (const { name, sql, keeps, says } of DAMAGES) {
    test(`${name}: it has ended as failed, with what can be read, and can be deleted`, async (t) => {
      const data = await copyOf(killed);
      tamper(data, sql(damaged.id));
      const holt = await spawnHolt({ data });
      t.after(() => holt.kill());
      const ended = await poll(holt, damaged.id);
      assert.equal(ended.status, 'failed');
      assert.equal(ended.error?.code, 'server_error');
      assert.match(ended.error.message, says);
      assert.equal(ended.created_at, damaged.created_at);
      const text = textOf(ended);
      if (keeps === 'none') assert.equal(text, '');
      else assert.ok(text.length > 0 && textOf(damaged).startsWith(text.slice(0, 10)), text);

      const other = await pollUntil(holt, sound, ({ status }) => status === 'in_progress');
      assert.equal(responseIn(await cancel(holt, other.id)).status, 'cancelled');
      const again = responseIn(await cancel(holt, damaged.id));
      assert.equal(again.status, 'failed', 'a cancel of what has ended changes nothing');
      assert.equal((await remove(holt, damaged.id)).status, 200);
      assertError(await get(holt, `responses/${damaged.id}`), 404);
      await holt.stop();
      const { findings } = await diagnose(data);
      const rest = findings.filter(
        (line) => !line.includes('its log goes from') && !line.includes('follows the closed'),
      );
      assert.deepEqual(rest, []);
      await rm(data, { recursive: true });
    });
  }

  test('its log can not be streamed any more, and its numbers have gone on where they were', async (t) => {
    const data = await copyOf(killed);
    const last = `(select max(n) from chunk where ${ROW(damaged.id)} and count > 0)`;
    tamper(data, `update chunk set body = x'3f00' where ${ROW(damaged.id)} and n = ${last}`);
    const db = new DatabaseSync(join(data, 'holt.db'));
    const next = db.prepare(`select max(first_sequence + count) as next from chunk where ${ROW(damaged.id)}`).get();
    db.close();
    const closing: number[] = [];
    const wrapStore = (store: Store): Store =>
      Object.assign(Object.create(store) as Store, {
        append: (appends: Parameters<Store['append']>[0]) => {
          for (const { chunk } of appends) if (chunk.closed) closing.push(chunk.firstSequence);
          return store.append(appends);
        },
        close: () => store.close(),
      });
    const holt = await startHolt({ data, overrides: { wrapStore } });
    t.after(() => holt.stop());
    assert.deepEqual(closing, [next?.['next']]);
    const stream = await get(holt, `responses/${damaged.id}?stream=true`);
    assert.equal(stream.status, 400, stream.text);
    assert.match(stream.text, /can no longer be streamed/);
  });
});

test('in the queue: it can be cancelled or deleted, its turn is a failure, and the others have theirs', async (t) => {
  const data = await temporaryDirectory();
  const configure = (config: { worker: { concurrency: number } }): void => {
    config.worker.concurrency = 1;
  };
  const first = await startHolt({ data, configure });
  const body = { background: true };
  const runs = await create(first, otter(SILENT, body));
  const ids: string[] = [];
  for (let n = 0; n < 4; n += 1) ids.push((await create(first, otter({}, body))).id);
  const [cancelled = '', deleted = '', turn = '', other = ''] = ids;
  await first.stop();
  for (const id of [cancelled, deleted, turn]) tamper(data, `update chunk set body = x'3f00' where ${ROW(id)}`);
  const holt = await startHolt({ data, configure });
  t.after(() => holt.stop());
  assert.equal((await poll(holt, turn)).status, 'in_progress');
  assert.equal(responseIn(await cancel(holt, cancelled)).status, 'cancelled');
  assert.equal((await remove(holt, deleted)).status, 200);
  assertError(await get(holt, `responses/${deleted}`), 404);
  await cancel(holt, runs.id);
  const failed = await pollUntil(holt, turn);
  assert.equal(failed.status, 'failed');
  assert.match(failed.error?.message ?? '', /damaged: what it said from event 0 on/);
  assert.equal((await pollUntil(holt, other)).status, 'completed');
});

describe('what can not even be ended is forgotten all the same', () => {
  const state: { broken: Error | undefined } = { broken: undefined };
  const wrapStore = (store: Store): Store =>
    storeAround(store, (verb, run) =>
      verb === 'read' && state.broken !== undefined ? Promise.reject(state.broken) : run(),
    );
  const DAMAGES = {
    'as nobody knows how to': new TypeError('not as expected'),
    'since the database can not read it': new StoreDamaged('read: database disk image is malformed'),
  };

  for (const [why, error] of Object.entries(DAMAGES)) {
    test(`when it is deleted: ${why}`, async (t) => {
      const holt = await startHolt({ overrides: { wrapStore } });
      t.after(() => holt.stop());
      const { id } = await create(holt, otter(SILENT, { background: true }));
      state.broken = error;
      assert.equal((await remove(holt, id)).status, 200);
      assertError(await get(holt, `responses/${id}`), 404);
      state.broken = undefined;
      assertError(await get(holt, `responses/${id}`), 404);
    });
  }

  test('when a cancel has failed before it, and nobody ends it', async (t) => {
    const clock = new FakeClock();
    const holt = await startHolt({ overrides: { wrapStore, clock } });
    t.after(() => holt.stop());
    const { id } = await create(holt, otter(SILENT, { background: true }));
    state.broken = DAMAGES['since the database can not read it'];
    assertError(await cancel(holt, id), 503);
    state.broken = undefined;
    const removed = remove(holt, id);
    await clock.waitForTimer(15_000);
    clock.advance(15_000);
    assert.equal((await removed).status, 200);
    assertError(await get(holt, `responses/${id}`), 404);
  });
});
