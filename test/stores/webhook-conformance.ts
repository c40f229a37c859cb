import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { End, Store } from '../../server/src/domain/ports.ts';
import type { NewEndpoint, Page, StoredDelivery } from '../../server/src/domain/webhook-store.ts';
import { WEBHOOK_EVENT_TYPES } from '../../server/src/protocol/webhooks.ts';
import type { StoreHarness } from './conformance.ts';
import { begin, endOf, finish } from './state-conformance.ts';

/** What every store must do with webhook endpoints and the outbox. */

const NOW = 1_700_000_000_000;
const HOUR = 3_600_000;
const NEVER = 0;

async function endpoint(store: Store, id: string, over: Partial<NewEndpoint> & { projectId?: string } = {}) {
  const { projectId = 'default', ...rest } = over;
  await store.createEndpoint(projectId, {
    id,
    name: id,
    url: `https://${id}.example/`,
    eventTypes: [...WEBHOOK_EVENT_TYPES],
    secret: `secret of ${id}`,
    createdAt: NOW,
    ...rest,
  });
}

async function ended(store: Store, eventId: string | null, over: Partial<End> = {}): Promise<string> {
  const { id, no } = await begin(store);
  await finish(store, no, endOf([], { eventId, ...over }));
  return id;
}

function entriesOf<T>(page: Page<T>): T[] {
  assert.ok(page.outcome === 'page', page.outcome);
  return page.entries;
}

async function deliveries(store: Store, endpointId: string): Promise<StoredDelivery[]> {
  return entriesOf(await store.listDeliveries('default', endpointId, { limit: 100 }));
}

async function pendingIds(store: Store): Promise<Record<string, string[]>> {
  const queues = await store.listPending(10);
  return Object.fromEntries(queues.map(({ target, pending }) => [target.id, pending.map(({ id }) => id)]));
}

async function firstPending(store: Store): Promise<number> {
  const no = (await store.listPending(1))[0]?.pending[0]?.no;
  assert.ok(no !== undefined);
  return no;
}

export function webhookConformance(name: string, open: () => Promise<StoreHarness>): void {
  describe(`webhooks: ${name}`, () => {
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
      'an end is told to each endpoint of its project that wants it, and to no other',
      async (store, harness) => {
        await endpoint(store, 'all');
        await endpoint(store, 'failures', { eventTypes: ['response.failed'] });
        await endpoint(store, 'elsewhere', { projectId: 'other' });
        const completed = await ended(store, 'evt_1');
        await ended(store, 'evt_2', { status: 'failed', doneAt: NOW + 1 });
        await ended(store, null);
        const reopened = await harness.reopen();
        assert.deepEqual(await pendingIds(reopened), { all: ['evt_1', 'evt_2'], failures: ['evt_2'], elsewhere: [] });
        const [queue] = await reopened.listPending(1);
        assert.deepEqual(queue?.target, {
          id: 'all',
          url: 'https://all.example/',
          secret: 'secret of all',
          oldSecret: null,
          oldSecretUntil: null,
        });
        assert.equal(queue?.pending.length, 1);
        assert.equal(
          queue?.pending[0]?.payload,
          `{"id":"evt_1","object":"event","type":"response.completed","created_at":1700000000,"data":{"id":"${completed}"}}`,
        );
      },
    );

    withStore('a closing append that is refused, or comes twice, adds nothing', async (store) => {
      await endpoint(store, 'all');
      const { no } = await begin(store);
      const chunk = { n: 1, firstSequence: 3, count: 1, epoch: 0, closed: true, body: new Uint8Array([2]) };
      const append = { no, chunk, end: endOf([], { eventId: 'evt_1' }) };
      assert.deepEqual(await store.append([append]), [true]);
      assert.deepEqual(await store.append([append]), [true], 'sent again, since nobody knew');
      const late = { no, chunk: { ...chunk, n: 2 }, end: endOf([], { eventId: 'evt_2' }) };
      assert.deepEqual(await store.append([late]), [false]);
      assert.deepEqual(await pendingIds(store), { all: ['evt_1'] });
    });

    withStore('what became of a delivery is kept, and the next step is taken', async (store) => {
      await endpoint(store, 'all');
      await ended(store, 'evt_1');
      const no = await firstPending(store);
      const refused = { at: NOW + 1, status: 500 };
      const waits = { state: 'pending', nextAt: NOW + HOUR } as const;
      assert.equal(await store.recordAttempt(no, refused, waits, NEVER), 'recorded');
      const [queue] = await store.listPending(10);
      assert.deepEqual([queue?.failing, queue?.pending[0]?.tries, queue?.pending[0]?.nextAt], [true, 1, NOW + HOUR]);
      const silent = { at: NOW + 2, error: 'no answer' };
      assert.equal(await store.recordAttempt(no, silent, { state: 'failed' }, NEVER), 'recorded');
      assert.deepEqual(await pendingIds(store), { all: [] });
      assert.deepEqual(
        (await deliveries(store, 'all')).map(({ state, attempts }) => ({ state, attempts })),
        [{ state: 'failed', attempts: [refused, silent] }],
      );

      const again = await store.redeliver('default', 'all', 'evt_1', NOW + 2 * HOUR);
      assert.ok(typeof again === 'object');
      assert.deepEqual([again.state, again.nextAt, again.attempts.length], ['pending', NOW + 2 * HOUR, 2]);
      const [once] = (await store.listPending(10))[0]?.pending ?? [];
      assert.deepEqual([once?.tries, once?.queuedAt], [0, NOW + 2 * HOUR]);
      const taken = { at: NOW + 3, status: 200 };
      assert.equal(await store.recordAttempt(no, taken, { state: 'delivered' }, NEVER), 'recorded');
      assert.equal((await store.listPending(1))[0]?.failing, false);
      assert.equal((await deliveries(store, 'all'))[0]?.state, 'delivered');
    });

    withStore('an endpoint without a success for too long is disabled until it is changed', async (store) => {
      await endpoint(store, 'all');
      await ended(store, 'evt_1');
      await ended(store, 'evt_2');
      const no = await firstPending(store);
      const fail = (at: number, since: number) =>
        store.recordAttempt(no, { at, status: 500 }, { state: 'pending', nextAt: at }, since);
      assert.equal(await fail(NOW, NOW - HOUR), 'recorded');
      assert.equal(await fail(NOW + HOUR, NOW - 1), 'recorded');
      assert.equal(await fail(NOW + HOUR, NOW), 'disabled');
      assert.equal(await fail(NOW + HOUR, NOW), 'recorded', 'an attempt that was under way');
      assert.deepEqual(await store.listPending(10), []);
      assert.deepEqual(
        (await deliveries(store, 'all')).map(({ state }) => state),
        ['failed', 'failed'],
      );
      assert.equal(await store.redeliver('default', 'all', 'evt_1', NOW), 'disabled');
      const disabled = await store.findEndpoint('default', 'all');
      assert.equal(disabled?.disabledAt, NOW + HOUR);
      assert.notEqual(disabled?.disabledReason, null);
      await ended(store, 'evt_3');
      assert.equal((await deliveries(store, 'all')).length, 2, 'nothing is kept for it');

      const enabled = await store.updateEndpoint('default', 'all', {}, NOW + 2 * HOUR);
      assert.deepEqual([enabled?.disabledAt, enabled?.updatedAt], [null, NOW + 2 * HOUR]);
      await ended(store, 'evt_4');
      assert.deepEqual(await pendingIds(store), { all: ['evt_4'] });
      assert.equal(
        await store.recordAttempt(await firstPending(store), { at: NOW, status: 500 }, { state: 'failed' }, NOW - 1),
        'recorded',
      );
    });

    withStore('what is forgotten is told to nobody', async (store) => {
      await endpoint(store, 'all');
      await endpoint(store, 'second');
      const deleted = await ended(store, 'evt_1');
      const { no } = await begin(store, { expiresAt: NOW + 1 });
      await finish(store, no, endOf([], { eventId: 'evt_2' }));
      await ended(store, 'evt_3');
      assert.equal(await store.delete('default', deleted, NOW), 'deleted');
      assert.deepEqual(await pendingIds(store), { all: ['evt_2', 'evt_3'], second: ['evt_2', 'evt_3'] });
      await store.sweep(NOW + 1, 0, 10);
      assert.deepEqual(await pendingIds(store), { all: ['evt_3'], second: ['evt_3'] });
      const attempted = await firstPending(store);
      assert.equal(await store.deleteEndpoint('default', 'all'), true);
      assert.deepEqual(await pendingIds(store), { second: ['evt_3'] });
      assert.equal(
        await store.recordAttempt(attempted, { at: NOW, status: 200 }, { state: 'delivered' }, NEVER),
        'absent',
      );
      assert.equal(await store.deleteEndpoint('default', 'all'), false);
    });

    withStore('endpoints and deliveries are listed newest first, page by page', async (store) => {
      for (const id of ['a', 'b', 'c']) await endpoint(store, id);
      for (const id of ['evt_1', 'evt_2', 'evt_3']) await ended(store, id);
      for (const [list, wanted] of [
        [(after?: string) => store.listEndpoints('default', { limit: 2, after }), ['c', 'b', 'a']],
        [(after?: string) => store.listDeliveries('default', 'b', { limit: 2, after }), ['evt_3', 'evt_2', 'evt_1']],
      ] as const) {
        const first = await list();
        assert.ok(first.outcome === 'page' && first.hasMore);
        const rest = await list(first.entries.at(-1)?.id);
        assert.ok(rest.outcome === 'page' && !rest.hasMore);
        assert.deepEqual(
          [...first.entries, ...rest.entries].map(({ id }) => id),
          wanted,
        );
        assert.equal((await list('nothing')).outcome, 'no_cursor');
      }
    });

    withStore('a change, a rotation and a project see their own endpoint only', async (store) => {
      await endpoint(store, 'mine');
      const unchanged = await store.updateEndpoint('default', 'mine', { name: 'mine' }, NOW + 1);
      assert.equal(unchanged?.updatedAt, NOW);
      const changed = await store.updateEndpoint('default', 'mine', { eventTypes: ['response.failed'] }, NOW + 2);
      assert.deepEqual(
        [changed?.updatedAt, changed?.eventTypes, changed?.name],
        [NOW + 2, ['response.failed'], 'mine'],
      );
      const rotated = await store.rotateSecret('default', 'mine', 'new', NOW + HOUR, NOW + 3);
      assert.deepEqual(
        [rotated?.secret, rotated?.oldSecret, rotated?.oldSecretUntil, rotated?.updatedAt],
        ['new', 'secret of mine', NOW + HOUR, NOW + 3],
      );
      const anew = await store.rotateSecret('default', 'mine', 'newer', null, NOW + 4);
      assert.deepEqual([anew?.secret, anew?.oldSecret, anew?.oldSecretUntil], ['newer', null, null]);

      assert.equal(await store.findEndpoint('other', 'mine'), undefined);
      assert.equal(await store.updateEndpoint('other', 'mine', { name: 'theirs' }, NOW), undefined);
      assert.equal(await store.rotateSecret('other', 'mine', 'x', null, NOW), undefined);
      assert.equal(await store.deleteEndpoint('other', 'mine'), false);
      assert.equal((await store.listDeliveries('other', 'mine', { limit: 1 })).outcome, 'absent');
      assert.equal(await store.redeliver('other', 'mine', 'evt_1', NOW), 'absent');
      assert.deepEqual(entriesOf(await store.listEndpoints('other', { limit: 1 })), []);
      assert.deepEqual(await store.findEndpoint('default', 'mine'), anew);
    });
  });
}
