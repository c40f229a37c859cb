import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NewResponse, Store } from '../../server/src/domain/ports.ts';
import type { StoreHarness } from './conformance.ts';
import { begin, endOf, finish, responseOf } from './state-conformance.ts';

/** What every store must do with idempotency keys. */

const NOW = 1_700_000_000_000;
const DAY = 86_400_000;
const HASH = 'ab'.repeat(32);
const OTHER_HASH = 'cd'.repeat(32);

const keyed = (key: string, more: Partial<NewResponse> = {}, bodyHash = HASH): Partial<NewResponse> => ({
  idempotency: { key, bodyHash, expiresAt: NOW + DAY },
  expiresAt: NOW + 30 * DAY,
  ...more,
});

async function outcomeOf(store: Store, over: Partial<NewResponse>, queueMax = 100): Promise<string> {
  return (await store.create(responseOf(over), queueMax)).outcome;
}

/** The response that the key leads to. */
async function idOf(store: Store, key: string, now = NOW, project = 'default'): Promise<string | undefined> {
  return (await store.findByKey(project, key, now))?.response.id;
}

export function idempotencyConformance(name: string, open: () => Promise<StoreHarness>): void {
  describe(`idempotency: ${name}`, () => {
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

    withStore(
      'a key leads to its response, with the hash of its body, also after a restart',
      async (store, harness) => {
        const { id, no } = await begin(store, keyed('first'));
        const other = await begin(store, keyed('second', { workerId: null }, OTHER_HASH));
        const check = async (one: Store): Promise<void> => {
          const found = await one.findByKey('default', 'first', NOW);
          assert.equal(found?.bodyHash, HASH);
          assert.deepEqual(found?.response, await one.find('default', id, NOW));
          assert.equal(found?.response.no, no);
          const queued = await one.findByKey('default', 'second', NOW);
          assert.deepEqual([queued?.response.id, queued?.bodyHash], [other.id, OTHER_HASH]);
          assert.equal(await one.findByKey('default', 'third', NOW), undefined);
          assert.equal(await one.findByKey('default', 'firs', NOW), undefined);
        };
        await check(store);
        await check(await harness.reopen());
      },
    );

    withStore('a taken key makes nothing, whatever else would refuse it', async (store) => {
      const { id } = await begin(store, keyed('once', { workerId: null }));
      const again = responseOf(keyed('once', { workerId: null }, OTHER_HASH));
      assert.deepEqual(await store.create(again, 0), { outcome: 'key_taken' }, 'the queue is full, too');
      assert.equal(await store.find('default', again.id, NOW), undefined);
      const gone = keyed('once', { conversation: { no: 999, upTo: 0 } });
      assert.equal(await outcomeOf(store, gone), 'key_taken', 'its conversation is gone, too');
      assert.equal(await idOf(store, 'once'), id);
      assert.equal((await store.findByKey('default', 'once', NOW))?.bodyHash, HASH);
      assert.equal((await store.measure()).queued, 1);
    });

    withStore('a refused create leaves its key free', async (store) => {
      assert.equal(await outcomeOf(store, keyed('once', { workerId: null }), 0), 'queue_full');
      assert.equal(await idOf(store, 'once'), undefined);
      const { id } = await begin(store, keyed('once'));
      assert.equal(await idOf(store, 'once'), id);
    });

    withStore('of creates at the same time one wins, and the others find it', async (store) => {
      for (let round = 0; round < 10; round += 1) {
        const key = `race-${round}`;
        const rivals = Array.from({ length: 8 }, (_, index) =>
          responseOf(keyed(key, { workerId: index % 2 === 0 ? 'w1' : null })),
        );
        const racing = rivals.map(async (rival, index) => {
          // Some in one group, some in groups that follow.
          for (let turn = 0; turn < index >> 2; turn += 1) await store.find('default', 'resp_0', NOW);
          const { outcome } = await store.create(rival, 1_000);
          // Whoever has lost finds it at once.
          return { id: rival.id, outcome, found: await idOf(store, key) };
        });
        const all = await Promise.all(racing);
        const winners = all.filter(({ outcome }) => outcome === 'created').map(({ id }) => id);
        assert.equal(winners.length, 1);
        assert.deepEqual(new Set(all.map(({ found }) => found)), new Set(winners));
        assert.equal(all.filter(({ outcome }) => outcome === 'key_taken').length, 7);
      }
    });

    withStore('projects have keys of their own', async (store) => {
      const mine = await begin(store, keyed('same'));
      assert.equal(await idOf(store, 'same', NOW, 'other'), undefined);
      const theirs = await begin(store, keyed('same', { projectId: 'other' }));
      assert.equal(await idOf(store, 'same'), mine.id);
      assert.equal(await idOf(store, 'same', NOW, 'other'), theirs.id);
    });

    withStore('a delete frees the key in its transaction', async (store, harness) => {
      const first = await begin(store, keyed('once'));
      assert.equal(await store.delete('default', first.id, NOW), 'unfinished');
      assert.equal(await idOf(store, 'once'), first.id);
      await finish(store, first.no, endOf([]));
      assert.equal(await idOf(store, 'once'), first.id);
      assert.equal(await store.delete('default', first.id, NOW), 'deleted');
      assert.equal(await idOf(store, 'once'), undefined);
      assert.equal((await store.sweep(NOW + DAY, 0, 10)).keys, 0, 'nothing of it is left');
      const second = await begin(store, keyed('once', {}, OTHER_HASH));
      assert.equal(await idOf(await harness.reopen(), 'once'), second.id);
    });

    withStore('a response past its time has no key, whether or not the sweep came by', async (store) => {
      const short = { expiresAt: NOW + 10 };
      const first = await begin(store, keyed('once', short));
      const swept = await begin(store, keyed('swept', short));
      assert.equal(await idOf(store, 'once', NOW + 10), first.id, 'what runs does not expire');
      await finish(store, first.no, endOf([]));
      await finish(store, swept.no, endOf([]));
      assert.equal(await idOf(store, 'once', NOW + 9), first.id);
      assert.equal(await idOf(store, 'once', NOW + 10), undefined);
      const second = await begin(store, keyed('once', { createdAt: NOW + 10 }));
      assert.equal(await idOf(store, 'once', NOW + 10), second.id);
      assert.equal((await store.sweep(NOW + 10, 0, 10)).expired, 2);
      assert.equal(await idOf(store, 'once', NOW + 10), second.id, "the first one's sweep leaves it");
      assert.equal(await idOf(store, 'swept', NOW + 9), undefined);
      assert.equal((await store.sweep(NOW + DAY, 0, 10)).keys, 1);
    });

    withStore('a key past its own time is free again, and its response stays', async (store) => {
      const first = await begin(store, keyed('once'));
      const others = [await begin(store, keyed('two')), await begin(store, keyed('three'))];
      assert.equal(await idOf(store, 'once', NOW + DAY - 1), first.id);
      assert.equal(await idOf(store, 'once', NOW + DAY), undefined);
      const idempotency = { key: 'once', bodyHash: OTHER_HASH, expiresAt: NOW + 2 * DAY };
      const second = await begin(store, { idempotency, createdAt: NOW + DAY, expiresAt: NOW + 30 * DAY });
      assert.equal(await idOf(store, 'once', NOW + DAY), second.id);
      assert.equal((await store.sweep(NOW + DAY, 0, 1)).keys, 1, 'in small steps');
      while ((await store.sweep(NOW + DAY, 0, 1)).keys > 0);
      assert.equal(await idOf(store, 'two', NOW), undefined);
      assert.equal(await idOf(store, 'once', NOW + DAY), second.id);
      for (const { id } of [first, ...others]) {
        assert.equal((await store.find('default', id, NOW + DAY))?.status, 'in_progress');
      }
    });
  });
}
