import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Scope, TokenCounts, UnfinishedBound } from '../../server/src/domain/limits.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import type { StoreHarness } from './conformance.ts';
import { begin, endOf, finish } from './state-conformance.ts';

/** What every store must know for limits: what was used on a day, and how much is unfinished. */

const NOON = Date.UTC(2026, 0, 1, 12);
const DAY = '2026-01-01';

const counts = (input: number, output: number, cached = 0): TokenCounts => ({ input, cached, output });

async function used(store: Store, kind: Scope['kind'], id: string, day = DAY): Promise<unknown[]> {
  const rows = await store.readUsage({ kind, id }, day);
  return rows
    .toSorted((one, other) => one.modelEntry.localeCompare(other.modelEntry))
    .map(({ modelEntry, input, cached, output, requests }) => [modelEntry, input, cached, output, requests]);
}

export function usageConformance(name: string, open: () => Promise<StoreHarness>): void {
  describe(`usage: ${name}`, () => {
    function withStore(title: string, body: (store: Store, harness: StoreHarness) => Promise<void>): void {
      test(title, async () => {
        const harness = await open();
        try {
          await body(harness.store, harness);
        } finally {
          await harness.dispose();
        }
      });
    }

    withStore('the end of a response adds what it used to its project, its key and its model', async (store) => {
      const one = await begin(store, { keyId: 'key_1', modelEntry: '*' });
      assert.deepEqual(await used(store, 'project', 'default'), [], 'not before its end');
      await finish(store, one.no, endOf([], { doneAt: NOON, usage: counts(10, 5, 4) }));
      const other = await begin(store, { keyId: 'key_2', modelEntry: 'small' });
      await finish(store, other.no, endOf([], { doneAt: NOON, usage: counts(1, 2) }));
      const without = await begin(store, {});
      await finish(store, without.no, endOf([], { doneAt: NOON }));

      assert.deepEqual(await used(store, 'project', 'default'), [
        ['*', 10, 4, 5, 1],
        ['otter', 0, 0, 0, 1],
        ['small', 1, 0, 2, 1],
      ]);
      assert.deepEqual(await used(store, 'key', 'key_1'), [['*', 10, 4, 5, 1]]);
      assert.deepEqual(await used(store, 'model', 'small'), [['small', 1, 0, 2, 1]]);
      assert.deepEqual(await used(store, 'project', 'other'), []);
    });

    withStore('an end that is sent twice, or refused, counts once, or not at all', async (store) => {
      const { no } = await begin(store, {});
      const end = endOf([], { doneAt: NOON, usage: counts(3, 4) });
      const chunk = { n: 1, firstSequence: 3, count: 1, epoch: 0, closed: true, body: new Uint8Array([2]) };
      assert.deepEqual(await store.append([{ no, chunk: { ...chunk, n: 7 }, end }]), [false]);
      assert.deepEqual(await store.append([{ no, chunk, end }]), [true]);
      assert.deepEqual(await store.append([{ no, chunk, end }]), [true]);
      assert.deepEqual(await used(store, 'project', 'default'), [['otter', 3, 0, 4, 1]]);
    });

    withStore('what leaves no row counts too, each day by itself, and is there after a restart', async (store, at) => {
      const charge = { projectId: 'default', keyId: null, modelEntry: 'otter', counts: counts(2, 1) };
      await store.addUsage({ ...charge, at: NOON });
      await store.addUsage({ ...charge, at: Date.UTC(2026, 0, 1, 23, 59, 59, 999) });
      await store.addUsage({ ...charge, at: Date.UTC(2026, 0, 2) });
      const again = await at.reopen();
      assert.deepEqual(await used(again, 'project', 'default'), [['otter', 4, 0, 2, 2]]);
      assert.deepEqual(await used(again, 'project', 'default', '2026-01-02'), [['otter', 2, 0, 1, 1]]);
    });

    withStore('nothing is added to a project that was deleted', async (store) => {
      const limits = {};
      const project = { id: 'proj_1', name: 'gone', retention: null, weight: 1, maxRunning: null, limits };
      await store.createProject({ ...project, createdAt: NOON });
      await store.deleteProject('proj_1', NOON);
      await store.addUsage({ projectId: 'proj_1', keyId: null, modelEntry: 'otter', at: NOON, counts: counts(2, 1) });
      assert.deepEqual(await used(store, 'project', 'proj_1'), []);
    });

    for (const kind of ['project', 'key', 'model'] as const) {
      withStore(`a bound on what is unfinished of a ${kind} is exact, also for a burst`, async (store) => {
        const over = { projectId: 'proj_1', keyId: 'key_1', modelEntry: 'small' };
        const scope = { kind, id: { project: 'proj_1', key: 'key_1', model: 'small' }[kind] };
        const bounds: UnfinishedBound[] = [{ scope, max: 3 }];
        const others = { projectId: 'proj_2', keyId: 'key_2', modelEntry: 'large' };
        await Promise.all([1, 2, 3, 4].map(() => begin(store, others)));

        const tried = await Promise.allSettled(
          [null, 'w1', null, 'w1', null].map((workerId) => begin(store, { ...over, workerId, bounds })),
        );
        const made = tried.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
        assert.equal(made.length, 3);
        for (const one of tried) if (one.status === 'rejected') assert.match(String(one.reason), /too_many_unfinished/);

        await finish(store, made[1]?.no ?? 0, endOf([]));
        await begin(store, { ...over, bounds });
        await assert.rejects(begin(store, { ...over, bounds }), /too_many_unfinished/);
        await begin(store, others);
      });
    }
  });
}
