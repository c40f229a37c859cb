import assert from 'node:assert/strict';
import { inputOf } from './read-input.ts';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Chunk } from '../../server/src/domain/chunk.ts';
import { decodeEvents, encodeEvents, encodeInProgress } from '../../server/src/domain/chunk-codec.ts';
import { Assembler } from '../../server/src/domain/assembler.ts';
import { Fold } from '../../server/src/domain/fold.ts';
import type { End, NewResponse, Store } from '../../server/src/domain/ports.ts';
import type { ResponseEvent } from '../../server/src/protocol/events.ts';
import { countingIds, queuedResponse, stillClock } from '../support/arbitrary.ts';

/** What every store must do. `open` gives an empty one; `reopen`, the same data after the process has gone. */
export type StoreHarness = { store: Store; reopen(): Promise<Store>; dispose(): Promise<void> };

const NOW = 1_700_000_000_000;
const DAY = 86_400_000;
let ids = 0;

function newResponse(overrides: Partial<NewResponse> = {}): NewResponse {
  const id = `resp_${(ids += 1)}`;
  return {
    id,
    projectId: 'default',
    model: 'otter',
    provider: 'scripted',
    stream: true,
    request: {
      body: { model: 'otter', input: 'hi', stream: true },
      upstreamModel: 'otter',
      inputItems: [],
    },
    createdAt: NOW,
    expiresAt: NOW + DAY,
    previousResponseId: null,
    conversation: null,
    history: [],
    workerId: 'w1',
    chunk: chunkOf(0, 0, 3),
    ...overrides,
  };
}

function chunkOf(n: number, firstSequence: number, count: number, more: Partial<Chunk> = {}): Chunk {
  return { n, firstSequence, count, epoch: 0, closed: false, body: bytes(`chunk ${n}`), ...more };
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function endOf(status: End['status'] = 'completed', doneAt = NOW): End {
  return {
    status,
    snapshot: bytes(`{"status":"${status}","output":[]}`),
    doneAt,
    logExpiresAt: doneAt + 600_000,
    eventId: null,
    outputIds: [],
    turn: [],
  };
}

async function created(store: Store, overrides: Partial<NewResponse> = {}): Promise<{ no: number; id: string }> {
  const response = newResponse(overrides);
  const result = await store.create(response, 1_000);
  assert.ok(result.outcome === 'created');
  return { no: result.no, id: response.id };
}

async function allNumbers(store: Store, no: number, after = -1, maxBytes = 1 << 20): Promise<number[]> {
  const numbers: number[] = [];
  for (let cursor = after; ;) {
    const page = await store.read(no, cursor, maxBytes);
    if (page.chunks.length === 0) return numbers;
    for (const chunk of page.chunks) {
      for (let at = 0; at < chunk.count; at += 1) numbers.push(chunk.firstSequence + at);
      cursor = chunk.firstSequence + chunk.count - 1;
    }
  }
}

export function storeConformance(name: string, open: () => Promise<StoreHarness>): void {
  describe(`store: ${name}`, () => {
    /** Each test has a store of its own. */
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

    withStore('a created response is found by its project only, with its request', async (store) => {
      const { id } = await created(store);
      const found = await store.find('default', id, NOW);
      assert.equal(found?.status, 'in_progress');
      assert.equal(found?.attempt, 1);
      assert.equal(await store.find('other', id, NOW), undefined);
      assert.deepEqual(await inputOf(store, id), []);
      assert.equal(await inputOf(store, id, 'other'), 'absent');
    });

    withStore('an append is a compare-and-swap on n', async (store) => {
      const { no } = await created(store);
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(2, 3, 1) }]), [false], 'no predecessor');
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(1, 3, 1) }]), [true]);
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(1, 3, 2) }]), [false], 'the place is taken');
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(1, 3, 1) }]), [true], 'the same once more');
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(2, 4, 1, { closed: true }), end: endOf() }]), [true]);
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(3, 5, 1) }]), [false], 'the log is closed');
      assert.deepEqual(await allNumbers(store, no), [0, 1, 2, 3, 4]);
    });

    withStore('one fenced append does not fail its neighbours', async (store) => {
      const first = await created(store);
      const second = await created(store);
      const accepted = await store.append([
        { no: first.no, chunk: chunkOf(5, 3, 1) },
        { no: second.no, chunk: chunkOf(1, 3, 1) },
      ]);
      assert.deepEqual(accepted, [false, true]);
    });

    withStore('the closing append ends the row in the same transaction, a refused one does not', async (store) => {
      const { no, id } = await created(store);
      await store.append([{ no, chunk: chunkOf(4, 3, 1, { closed: true }), end: endOf('failed') }]);
      assert.equal((await store.find('default', id, NOW))?.status, 'in_progress');
      await store.append([{ no, chunk: chunkOf(1, 3, 1, { closed: true }), end: endOf('completed') }]);
      const row = await store.find('default', id, NOW);
      assert.equal(row?.status, 'completed');
      assert.equal(row?.workerId, null);
      assert.deepEqual(Buffer.from(row?.snapshot ?? []).toString(), '{"status":"completed","output":[]}');
      assert.equal(row?.logExpiresAt, NOW + 600_000);
    });

    withStore('read starts after any cursor, in pages of any size, and says when the log is closed', async (store) => {
      const { no } = await created(store);
      for (let n = 1; n <= 20; n += 1) await store.append([{ no, chunk: chunkOf(n, 1 + 2 * n, 2) }]);
      const last = 1 + 2 * 20 + 1;
      for (let after = -1; after <= last + 2; after += 1) {
        const numbers = (await allNumbers(store, no, after, 1)).filter((number) => number > after);
        assert.deepEqual(numbers, range(after + 1, last), `after ${after}`);
      }
      assert.equal((await store.read(no, last, 1)).closed, false);
      await store.append([{ no, chunk: chunkOf(21, last + 1, 1, { closed: true }), end: endOf() }]);
      assert.equal((await store.read(no, last, 1)).closed, true);
      assert.equal((await store.read(no, last + 7, 1)).closed, true);
    });

    withStore('a claim takes the oldest queued rows, each with its chunk', async (store) => {
      const queued = [];
      for (let count = 0; count < 3; count += 1) {
        queued.push(await created(store, { workerId: null, chunk: chunkOf(0, 0, 2) }));
      }
      const claimed = await store.claim('w2', 2, encodeInProgress(), NOW + 5);
      assert.deepEqual(
        claimed.responses.map(({ id, status, workerId, attempt, tail }) => ({ id, status, workerId, attempt, tail })),
        queued.slice(0, 2).map(({ id }) => ({
          id,
          status: 'in_progress',
          workerId: 'w2',
          attempt: 1,
          tail: { n: 1, nextSequence: 3, epoch: 0 },
        })),
      );
      assert.deepEqual(
        (await store.claim('w3', 9, encodeInProgress(), NOW)).responses.map(({ id }) => id),
        [queued[2]?.id],
      );
      assert.deepEqual(await store.claim('w3', 9, encodeInProgress(), NOW), { responses: [], held: [] });
    });

    withStore('a full queue refuses before a row exists, and only those that would wait', async (store) => {
      await created(store, { workerId: null });
      const refused = newResponse({ workerId: null });
      assert.deepEqual(await store.create(refused, 1), { outcome: 'queue_full' });
      assert.equal(await store.find('default', refused.id, NOW), undefined);
      assert.equal((await store.create(newResponse({ workerId: 'w1' }), 1)).outcome, 'created');
    });

    withStore('it says how many wait, and what it takes', async (store) => {
      const empty = await store.measure();
      assert.equal(empty.queued, 0);
      assert.ok(empty.databaseBytes > 0 && empty.logBytes >= 0);
      for (const workerId of [null, 'w1', null]) await created(store, { workerId });
      assert.equal((await store.measure()).queued, 2);
      await store.claim('w1', 1, encodeInProgress(), NOW);
      assert.equal((await store.measure()).queued, 1);
    });

    withStore('a cancel fences the owner, once', async (store) => {
      const { no, id } = await created(store);
      const first = await store.fenceForCancel('default', id, 'w9', NOW);
      assert.ok(first.outcome === 'fenced');
      assert.deepEqual(first.response.tail, { n: 1, nextSequence: 3, epoch: 1 });
      assert.equal(first.response.workerId, 'w9');
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(1, 3, 1) }]), [false], 'the former owner');
      assert.deepEqual(await store.fenceForCancel('default', id, 'w8', NOW), { outcome: 'pending' });
      assert.deepEqual(await store.fenceForCancel('other', id, 'w8', NOW), { outcome: 'absent' });
      const closing = chunkOf(2, 3, 1, { epoch: 1, closed: true });
      assert.deepEqual(await store.append([{ no, chunk: closing, end: endOf('cancelled') }]), [true]);
      assert.deepEqual(await store.fenceForCancel('default', id, 'w9', NOW), { outcome: 'ended' });
      assert.deepEqual(await allNumbers(store, no), [0, 1, 2, 3]);
    });

    withStore('orphans are the unfinished rows of others, and one taker fences the rest', async (store) => {
      const dead = await created(store, { workerId: 'dead' });
      await created(store, { workerId: 'live' });
      await created(store, { workerId: null, chunk: chunkOf(0, 0, 2) });
      assert.deepEqual(await store.listOrphans('live', 0, 10), [dead]);
      const taken = await store.takeOver(dead.no, 'live');
      assert.equal(taken?.attempt, 2);
      assert.deepEqual(taken?.tail, { n: 1, nextSequence: 3, epoch: 1 });
      assert.equal(await store.takeOver(dead.no, 'live'), undefined, 'it is mine already');
      assert.deepEqual(await store.append([{ no: dead.no, chunk: chunkOf(1, 3, 1) }]), [false]);
      assert.deepEqual(await store.listOrphans('live', 0, 10), []);
    });

    withStore('what is handed back is an orphan at once, and its attempt does not count', async (store) => {
      const { no, id } = await created(store, { workerId: 'w1' });
      await store.handBack('other', [no]);
      assert.equal((await store.find('default', id, NOW))?.workerId, 'w1');
      await store.handBack('w1', [no]);
      const row = await store.find('default', id, NOW);
      assert.equal(row?.workerId, null);
      assert.equal(row?.attempt, 0);
      assert.equal((await store.takeOver(no, 'w2'))?.attempt, 1);
    });

    withStore('a delete hides an ended response on every verb and refuses what comes late', async (store) => {
      const { no, id } = await created(store);
      assert.equal(await store.delete('default', id, NOW), 'unfinished');
      await store.append([{ no, chunk: chunkOf(1, 3, 1, { closed: true }), end: endOf() }]);
      assert.equal(await store.delete('other', id, NOW), 'absent');
      assert.equal(await store.delete('default', id, NOW), 'deleted');
      assert.equal(await store.delete('default', id, NOW), 'absent');
      assert.equal(await store.find('default', id, NOW), undefined);
      assert.equal(await inputOf(store, id), 'absent');
      assert.deepEqual(await store.fenceForCancel('default', id, 'w1', NOW), { outcome: 'absent' });
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(2, 4, 1) }]), [false]);
      const page = await store.read(no, -1, 1_000);
      assert.ok(
        page.chunks.every(({ body }) => body.length === 0),
        'nothing of it is left',
      );
      await store.sweep(NOW, NOW + 1, 10);
      assert.deepEqual((await store.read(no, -1, 1_000)).chunks, []);
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(2, 4, 1) }]), [false], 'also after the purge');
    });

    withStore('a delete that is forced forgets what has not ended, whatever its owner still sends', async (store) => {
      const { no, id } = await created(store);
      await store.append([{ no, chunk: chunkOf(1, 3, 1) }]);
      assert.equal(await store.delete('other', id, NOW, 'forced'), 'absent');
      assert.equal(await store.delete('default', id, NOW, 'forced'), 'deleted');
      assert.equal(await store.delete('default', id, NOW, 'forced'), 'absent');
      assert.equal(await store.find('default', id, NOW), undefined);
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(2, 4, 1) }]), [false]);
      assert.deepEqual(await store.append([{ no, chunk: chunkOf(3, 4, 1) }]), [false]);
      const page = await store.read(no, -1, 1_000);
      assert.ok(page.chunks.every(({ body }) => body.length === 0));
      assert.deepEqual(await store.listOwned('w1', 0, 10), []);
      assert.deepEqual(await store.listOrphans('w2', 0, 10), []);
    });

    withStore('expiry is enforced when reading, and the sweep catches up in small steps', async (store) => {
      const expiring = await Promise.all(
        range(1, 5).map(async () => {
          const made = await created(store, { expiresAt: NOW + 10 });
          await store.append([{ no: made.no, chunk: chunkOf(1, 3, 1, { closed: true }), end: endOf() }]);
          return made;
        }),
      );
      const running = await created(store, { expiresAt: NOW + 10 });
      assert.notEqual(await store.find('default', expiring[0]!.id, NOW + 9), undefined);
      assert.equal(await store.find('default', expiring[0]!.id, NOW + 10), undefined);
      assert.equal(await store.delete('default', expiring[0]!.id, NOW + 10), 'absent');
      assert.notEqual(await store.find('default', running.id, NOW + 10), undefined, 'it still runs');
      assert.equal((await store.sweep(NOW + 10, 0, 3)).expired, 3);
      assert.equal((await store.sweep(NOW + 10, 0, 3)).expired, 2);
      assert.equal((await store.sweep(NOW + 10, NOW + 11, 9)).purged, 5);
    });

    withStore('a log past its time goes, the response stays', async (store) => {
      const { no, id } = await created(store);
      await store.append([{ no, chunk: chunkOf(1, 3, 1, { closed: true }), end: endOf() }]);
      assert.equal((await store.sweep(NOW + 599_999, 0, 9)).logs, 0);
      assert.equal((await store.sweep(NOW + 600_000, 0, 9)).logs, 1);
      assert.deepEqual(await store.read(no, -1, 1_000), { chunks: [], closed: false });
      assert.equal((await store.find('default', id, NOW))?.status, 'completed');
    });

    withStore('a foreground response is there once it has ended', async (store) => {
      const { chunk: _chunk, workerId: _worker, ...row } = newResponse();
      await store.createEnded(row, endOf());
      const found = await store.find('default', row.id, NOW);
      assert.equal(found?.background, false);
      assert.equal(found?.status, 'completed');
      assert.equal(await store.delete('default', row.id, NOW), 'deleted');
    });

    withStore('compaction changes no event and no place a reader may stand at', async (store) => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }), async (sizes) => {
          const { no, log, snapshot } = await storyOf(store, sizes);
          const before = await replay(store, no, -1, snapshot);
          while ((await store.compact(10)) > 0);
          assert.deepEqual(before, log);
          for (const after of [-1, 0, 2, Math.floor(log.length / 2), log.length - 2, log.length - 1]) {
            assert.deepEqual(await replay(store, no, after, snapshot), log.slice(after + 1));
          }
          assert.equal((await store.read(no, log.length - 1, 1)).closed, true);
          assert.deepEqual(await store.append([{ no, chunk: chunkOf(sizes.length + 9, log.length, 1) }]), [false]);
        }),
        { numRuns: 20 },
      );
    });

    withStore('many appends, creates and reads at once keep every log dense', async (store) => {
      const made = await Promise.all(range(1, 20).map(() => created(store)));
      await Promise.all(
        made.map(async ({ no }) => {
          for (let n = 1; n <= 25; n += 1) {
            assert.deepEqual(await store.append([{ no, chunk: chunkOf(n, 2 + n, 1) }]), [true]);
          }
        }),
      );
      for (const { no } of made) assert.deepEqual(await allNumbers(store, no, -1, 40), range(0, 27));
    });

    withStore('what was acknowledged is there after the process has gone', async (store, harness) => {
      const { no, id } = await created(store);
      await store.append([{ no, chunk: chunkOf(1, 3, 1) }]);
      const again = await harness.reopen();
      assert.equal((await again.find('default', id, NOW))?.status, 'in_progress');
      assert.deepEqual(await allNumbers(again, no), [0, 1, 2, 3]);
      assert.deepEqual(await again.append([{ no, chunk: chunkOf(2, 4, 1) }]), [true]);
    });

    withStore('a row number is never used twice', async (store) => {
      const first = await created(store);
      await store.append([{ no: first.no, chunk: chunkOf(1, 3, 1, { closed: true }), end: endOf() }]);
      await store.delete('default', first.id, NOW);
      await store.sweep(NOW, NOW + 1, 10);
      assert.ok((await created(store)).no > first.no);
    });
  });
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}

/** A whole response in the store, its deltas in chunks of the sizes given. */
async function storyOf(
  store: Store,
  sizes: readonly number[],
): Promise<{ no: number; log: ResponseEvent[]; snapshot: Fold }> {
  const folded = new Fold();
  const assembler = new Assembler(folded, countingIds(), stillClock);
  assembler.begin(queuedResponse(), true);
  const log: ResponseEvent[] = [];
  const take = (n: number): Chunk => {
    const events = assembler.take();
    const chunk = chunkOf(n, log.length, events.length, { body: encodeEvents(events, folded.response) });
    log.push(...events);
    return chunk;
  };
  const { no } = await created(store, { chunk: take(0) });
  for (const [index, size] of sizes.entries()) {
    for (let at = 0; at < size; at += 1) assembler.push({ type: 'text', delta: `${'🦦'.repeat(at % 3)}x` });
    await store.append([{ no, chunk: take(index + 1) }]);
  }
  assembler.push({ type: 'finish', reason: 'stop' });
  assembler.finish();
  await store.append([{ no, chunk: { ...take(sizes.length + 1), closed: true }, end: endOf() }]);
  return { no, log, snapshot: folded };
}

async function replay(store: Store, no: number, after: number, snapshot: Fold): Promise<ResponseEvent[]> {
  const events: ResponseEvent[] = [];
  for (let cursor = after; ;) {
    const page = await store.read(no, cursor, 200);
    if (page.chunks.length === 0) return events;
    for (const chunk of page.chunks) {
      for (const event of decodeEvents(chunk.body, chunk.firstSequence, () => snapshot.response)) {
        if (event.sequence_number > after) events.push(event);
      }
      cursor = chunk.firstSequence + chunk.count - 1;
    }
  }
}
