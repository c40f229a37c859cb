import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeInProgress } from '../../server/src/domain/chunk-codec.ts';
import type { NewResponse, Store } from '../../server/src/domain/ports.ts';
import type { NewProject } from '../../server/src/domain/project-store.ts';
import type { StoreHarness } from './conformance.ts';
import { begin, endOf } from './state-conformance.ts';

/** What every store must do with the queue: whose turn it is, who has to wait, and for how long. */

const NOW = 1_700_000_000_000;

async function project(store: Store, id: string, over: Partial<NewProject> = {}): Promise<void> {
  const settings = { retention: null, weight: 1, maxRunning: null, limits: {}, createdAt: NOW };
  await store.createProject({ id, name: id, ...settings, ...over });
}

const WAITS = {
  workerId: null,
  chunk: { n: 0, firstSequence: 0, count: 2, epoch: 0, closed: false, body: new Uint8Array([1]) },
} as const satisfies Partial<NewResponse>;

/** Queues so many of a project, in their order. */
async function queue(
  store: Store,
  projectId: string,
  count: number,
  over: Partial<NewResponse> = {},
): Promise<string[]> {
  const made = await Promise.all(Array.from({ length: count }, () => begin(store, { projectId, ...WAITS, ...over })));
  return made.map(({ id }) => id);
}

async function claim(store: Store, limit: number, now = NOW, maxWaitMs: number | null = null) {
  return store.claim('w1', limit, encodeInProgress(), now, maxWaitMs);
}

/** The projects whose turns come next, one claim each. */
async function turns(store: Store, count: number): Promise<string[]> {
  const taken: string[] = [];
  for (let turn = 0; turn < count; turn += 1) {
    const { responses } = await claim(store, 1);
    taken.push(...responses.map(({ projectId }) => projectId));
  }
  return taken;
}

async function claimedIds(store: Store, limit: number): Promise<string[]> {
  return (await claim(store, limit)).responses.map(({ id }) => id);
}

function count(of: readonly string[], one: string): number {
  return of.filter((other) => other === one).length;
}

async function end(store: Store, no: number, n = 2): Promise<void> {
  const chunk = { n, firstSequence: 3, count: 1, epoch: 0, closed: true, body: new Uint8Array([2]) };
  assert.deepEqual(await store.append([{ no, chunk, end: endOf([]) }]), [true]);
}

export function queueConformance(name: string, open: () => Promise<StoreHarness>): void {
  describe(`queue: ${name}`, () => {
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

    withStore('weights of 3 and 1 get three turns and one, at any moment and in claims of any size', async (store) => {
      await project(store, 'three', { weight: 3 });
      await project(store, 'one');
      await queue(store, 'one', 60);
      await queue(store, 'three', 60);
      const taken: string[] = [];
      for (const limit of [1, 1, 1, 1, 2, 3, 5, 7, 11, 16]) {
        const { responses } = await claim(store, limit);
        assert.equal(responses.length, limit);
        taken.push(...responses.map(({ projectId }) => projectId));
        const share = (taken.length * 3) / 4;
        assert.ok(Math.abs(count(taken, 'three') - share) <= 1, `${count(taken, 'three')} of ${taken.length}`);
      }
      assert.equal(count(taken, 'three'), 36);
    });

    withStore('one who comes after a thousand of another is next', async (store) => {
      await project(store, 'greedy');
      await project(store, 'modest');
      await queue(store, 'greedy', 1_000);
      await turns(store, 5);
      const [id] = await queue(store, 'modest', 1);
      assert.deepEqual(await claimedIds(store, 1), [id]);
    });

    withStore('who was idle brings no saved turns along, and nobody owes any', async (store) => {
      await project(store, 'busy');
      await project(store, 'idle');
      await project(store, 'later');
      await queue(store, 'busy', 40);
      assert.equal(count(await turns(store, 20), 'busy'), 20);
      await queue(store, 'idle', 30);
      assert.equal(count(await turns(store, 10), 'idle'), 5);
      // Now the queue runs dry; what the busy one had more of is forgotten with it.
      while ((await claimedIds(store, 10)).length > 0);
      await queue(store, 'later', 20);
      await turns(store, 2);
      await queue(store, 'busy', 20);
      const shares = await turns(store, 10);
      assert.ok(Math.abs(count(shares, 'busy') - 5) <= 1, shares.join(' '));
    });

    withStore('inside a project the highest priority comes first, then the oldest', async (store) => {
      await project(store, 'other');
      const flex = await queue(store, 'default', 2, { priority: -1 });
      const plain = await queue(store, 'default', 2);
      const urgent = await queue(store, 'default', 2, { priority: 1 });
      assert.deepEqual(await claimedIds(store, 6), [...urgent, ...plain, ...flex]);
      const [mine] = await queue(store, 'other', 1, { priority: -1 });
      await queue(store, 'default', 3, { priority: 1 });
      assert.equal((await claimedIds(store, 2)).includes(mine!), true, 'among projects it counts for nothing');
    });

    withStore('no more of a project run than it may, whoever asks, and the others have their turns', async (store) => {
      await project(store, 'tight', { maxRunning: 2 });
      await queue(store, 'tight', 5);
      await queue(store, 'default', 2);
      const first = await claim(store, 10);
      assert.deepEqual(first.held, ['tight']);
      assert.deepEqual(first.responses.map(({ projectId }) => projectId).toSorted(), [
        'default',
        'default',
        'tight',
        'tight',
      ]);
      assert.deepEqual(await claim(store, 10), { responses: [], held: ['tight'] });
      const running = first.responses.filter(({ projectId }) => projectId === 'tight');
      await end(store, running[0]!.no);
      const second = await claim(store, 10);
      assert.deepEqual([second.responses.length, second.held], [1, ['tight']]);
      await store.updateProject('tight', { maxRunning: null }, NOW);
      const third = await claim(store, 10);
      assert.deepEqual([third.responses.length, third.held], [2, []]);
    });

    withStore('a row with a slot has to wait behind others of its project, and when all are running', async (store) => {
      await project(store, 'tight', { maxRunning: 2 });
      const first = await begin(store, { projectId: 'tight' });
      await begin(store, { projectId: 'tight' });
      const refused: NewResponse = {
        id: 'resp_refused',
        projectId: 'tight',
        model: 'otter',
        provider: 'scripted',
        stream: false,
        request: { body: { model: 'otter', input: 'hi' }, upstreamModel: 'otter', inputItems: [] },
        createdAt: NOW,
        expiresAt: NOW + 1_000,
        previousResponseId: null,
        conversation: null,
        history: [],
        ...WAITS,
        workerId: 'w1',
      };
      assert.deepEqual(await store.create(refused, 100), { outcome: 'must_wait' });
      assert.equal(await store.find('tight', 'resp_refused', NOW), undefined);
      await queue(store, 'tight', 1);
      await end(store, first.no, 1);
      assert.deepEqual(await store.create(refused, 100), { outcome: 'must_wait' }, 'it would overtake');
      assert.equal((await claim(store, 9)).responses.length, 1);
      const others = await Promise.all([1, 2, 3].map(() => begin(store, {})));
      assert.equal(others.length, 3, 'of a project that may run as many as there are slots');
    });

    withStore('what a deleted project has queued is not claimed', async (store) => {
      await project(store, 'gone');
      await queue(store, 'gone', 2);
      const [id] = await queue(store, 'default', 1);
      await store.deleteProject('gone', NOW);
      assert.deepEqual(await claimedIds(store, 5), [id]);
    });

    withStore('turns go on where they were after the process has gone', async (store, harness) => {
      await project(store, 'three', { weight: 3 });
      await project(store, 'one');
      await queue(store, 'three', 20);
      await queue(store, 'one', 20);
      const taken = await turns(store, 6);
      const reopened = await harness.reopen();
      taken.push(...(await turns(reopened, 6)));
      assert.equal(count(taken, 'three'), 9, taken.join(' '));
    });

    withStore('a queue is full for one project, and not for the others', async (store) => {
      await project(store, 'other');
      await queue(store, 'default', 3);
      const more = { ...WAITS, projectId: 'default' };
      await assert.rejects(begin(store, more, 3), /queue_full/);
      await begin(store, { ...WAITS, projectId: 'other' }, 3);
    });

    withStore('each knows its place, when it comes and while it waits', async (store) => {
      await project(store, 'other');
      await queue(store, 'other', 5);
      const plain = await begin(store, WAITS);
      const flex = await begin(store, { ...WAITS, priority: -1 });
      const urgent = await begin(store, { ...WAITS, priority: 1 });
      const next = await begin(store, WAITS);
      assert.deepEqual([plain.position, flex.position, urgent.position, next.position], [1, 2, 1, 3]);
      const places = async (most = 100) =>
        Promise.all([urgent, plain, next, flex].map(({ no }) => store.queuePosition(no, most)));
      assert.deepEqual(await places(), [1, 2, 3, 4]);
      assert.deepEqual(await places(2), [1, 2, 2, 2]);
      assert.deepEqual(await places(1), [1, 1, 1, 1]);
      await store.claim('w1', 2, encodeInProgress(), NOW);
      const [first] = await places();
      assert.equal(first, undefined, 'it has a slot');
      const running = await begin(store, {});
      assert.equal(running.position, undefined);
    });

    withStore('what has waited too long is not claimed, and is taken by its age', async (store) => {
      const old = await queue(store, 'default', 3, { createdAt: NOW - 60_000 });
      const [young] = await queue(store, 'default', 1, { createdAt: NOW - 59_999 });
      await store.fenceForCancel('default', old[1]!, 'w9', NOW);
      assert.deepEqual(
        (await claim(store, 5, NOW, 60_000)).responses.map(({ id }) => id),
        [young],
      );
      const [first] = await store.takeOverdue('w1', NOW - 60_000, 1);
      assert.deepEqual(
        [first?.id, first?.status, first?.workerId, first?.tail],
        [old[0], 'queued', 'w1', { n: 1, nextSequence: 2, epoch: 1 }],
      );
      assert.deepEqual(
        (await store.takeOverdue('w1', NOW - 60_000, 10)).map(({ id }) => id),
        [old[2]],
      );
      assert.deepEqual((await claim(store, 5)).responses, []);
    });

    withStore('a response says when it was created and when it got its slot', async (store) => {
      const [id] = await queue(store, 'default', 1);
      const before = await store.find('default', id!, NOW);
      assert.deepEqual([before?.createdAt, before?.startedAt], [NOW, null]);
      await claim(store, 1, NOW + 7);
      const after = await store.find('default', id!, NOW);
      assert.deepEqual([after?.createdAt, after?.startedAt], [NOW, NOW + 7]);
    });
  });
}
