import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Store } from '../../server/src/domain/ports.ts';
import type { NewKey, NewProject } from '../../server/src/domain/project-store.ts';
import type { Page } from '../../server/src/domain/webhook-store.ts';
import type { StoreHarness } from './conformance.ts';
import { begin, endOf, finish } from './state-conformance.ts';

/** What every store must do with projects, keys and the audit log. */

const NOW = 1_700_000_000_000;
const PLENTY = 1 << 20;

function projectOf(id: string, over: Partial<NewProject> = {}): NewProject {
  return { id, name: `The ${id}`, retention: null, weight: 1, maxRunning: null, limits: {}, createdAt: NOW, ...over };
}

function keyOf(id: string, projectId: string, over: Partial<NewKey> = {}): NewKey {
  const hash = new Uint8Array(32).fill(id.charCodeAt(0));
  const mask = `sk-holt-${id}`;
  return { id, projectId, name: id, hash, mask, limits: {}, createdAt: NOW, expiresAt: null, ...over };
}

function entriesOf<T>(page: Page<T>): T[] {
  assert.ok(page.outcome === 'page', page.outcome);
  return page.entries;
}

/** What the audit log has gained since `before`, oldest first. */
async function audited(store: Store, before = 0): Promise<[action: string, target: string, detail: unknown][]> {
  const entries = entriesOf(await store.listAudit({ limit: 100 })).toReversed();
  return entries.slice(before).map(({ action, target, detail }) => [action, target, detail]);
}

async function ended(store: Store, projectId: string): Promise<string> {
  const { id, no } = await begin(store, { projectId });
  await finish(
    store,
    no,
    endOf([{ id: `msg_of_${id}`, type: 'message', role: 'assistant', status: 'completed', content: [] }]),
  );
  return id;
}

/** Calls it as housekeeping does: until it is done, or only what runs is left. */
async function forgetAll(store: Store, id: string, limit: number): Promise<{ calls: number; unfinished: string[] }> {
  for (let calls = 1; ; calls += 1) {
    assert.ok(calls < 100, 'it never comes to an end');
    const { unfinished, done } = await store.forgetProject(id, NOW, limit);
    if (done || unfinished.length > 0) return { calls, unfinished };
  }
}

export function projectConformance(name: string, open: () => Promise<StoreHarness>): void {
  describe(`projects: ${name}`, () => {
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

    withStore('the project default is there from the beginning, without a limit and without a key', async (store) => {
      const found = await store.findProject('default');
      assert.ok(found !== undefined && found.createdAt > 0);
      assert.deepEqual(found, {
        id: 'default',
        name: 'Default',
        retention: null,
        weight: 1,
        maxRunning: null,
        limits: {},
        createdAt: found.createdAt,
        updatedAt: found.createdAt,
      });
      assert.equal(await store.hasKeys(), false);
      assert.deepEqual(await audited(store), []);
    });

    withStore('a project is made, changed and listed, and each change is in the audit log', async (store, harness) => {
      await store.createProject(projectOf('proj_a', { weight: 3, limits: { requests_per_minute: 5 } }));
      await store.createProject(projectOf('proj_b'));
      const change = { retention: 'zero_data_retention', maxRunning: 4, weight: 3 } as const;
      const changed = await store.updateProject('proj_a', change, NOW + 5);
      assert.deepEqual(changed, {
        ...projectOf('proj_a', { weight: 3, limits: { requests_per_minute: 5 } }),
        retention: 'zero_data_retention',
        maxRunning: 4,
        updatedAt: NOW + 5,
      });
      assert.deepEqual(await store.updateProject('proj_a', change, NOW + 9), changed, 'nothing to change');
      assert.equal(await store.updateProject('proj_x', { name: 'x' }, NOW), undefined);

      const reopened = await harness.reopen();
      assert.deepEqual(await reopened.findProject('proj_a'), changed);
      const first = await reopened.listProjects({ limit: 2 });
      assert.deepEqual(
        [entriesOf(first).map(({ id }) => id), first],
        [['proj_b', 'proj_a'], { ...first, hasMore: true }],
      );
      const second = await reopened.listProjects({ limit: 2, after: 'proj_a' });
      assert.deepEqual([entriesOf(second).map(({ id }) => id), second], [['default'], { ...second, hasMore: false }]);
      assert.deepEqual(await reopened.listProjects({ limit: 2, after: 'proj_x' }), { outcome: 'no_cursor' });
      assert.deepEqual(await audited(reopened), [
        [
          'project.create',
          'proj_a',
          { name: 'The proj_a', retention: null, weight: 3, max_running: null, limits: { requests_per_minute: 5 } },
        ],
        ['project.create', 'proj_b', { name: 'The proj_b', retention: null, weight: 1, max_running: null, limits: {} }],
        [
          'project.update',
          'proj_a',
          { retention: { from: null, to: 'zero_data_retention' }, max_running: { from: null, to: 4 } },
        ],
      ]);
    });

    withStore('a key is found by its hash until it is taken away, and no list has the hash', async (store, harness) => {
      await store.createProject(projectOf('proj_a'));
      const key = keyOf('k', 'proj_a', { expiresAt: NOW + 5_500, limits: { tokens_per_minute: 7 } });
      assert.equal(await store.createKey(key), 'created');
      assert.equal(await store.createKey(keyOf('x', 'proj_x')), 'project_absent');
      await store.touchKeys([
        { id: 'k', at: NOW + 60 },
        { id: 'nobody', at: NOW },
      ]);
      await store.touchKeys([{ id: 'k', at: NOW + 50 }]);

      const reopened = await harness.reopen();
      const { hash, ...shown } = key;
      const stored = { ...shown, lastUsedAt: NOW + 60 };
      assert.deepEqual(await reopened.findKey(hash), { ...stored, hash });
      assert.deepEqual(await reopened.listKeys('proj_a', { limit: 5 }), {
        outcome: 'page',
        entries: [stored],
        hasMore: false,
      });
      assert.deepEqual(await reopened.listKeys('proj_x', { limit: 5 }), { outcome: 'absent' });
      assert.deepEqual(await reopened.listKeys('proj_a', { limit: 5, after: 'x' }), { outcome: 'no_cursor' });
      assert.deepEqual(entriesOf(await reopened.listKeys('proj_a', { limit: 5, after: 'k' })), []);
      assert.equal(await reopened.findKey(new Uint8Array(32)), undefined);
      assert.equal(await reopened.hasKeys(), true);

      assert.equal(await reopened.deleteKey('default', 'k', NOW), false, "it is another project's");
      assert.equal(await reopened.deleteKey('proj_a', 'k', NOW + 9), true);
      assert.equal(await reopened.deleteKey('proj_a', 'k', NOW + 9), false);
      assert.equal(await reopened.findKey(hash), undefined);
      assert.equal(await reopened.hasKeys(), false);
      assert.deepEqual(await audited(reopened, 1), [
        [
          'key.create',
          'k',
          { project: 'proj_a', name: 'k', limits: { tokens_per_minute: 7 }, expires_at: (NOW + 5_000) / 1000 },
        ],
        ['key.revoke', 'k', { project: 'proj_a', name: 'k' }],
      ]);
    });

    withStore('a deleted project has no keys, takes no new work and leaves no row', async (store, harness) => {
      await store.createProject(projectOf('proj_a'));
      await store.createKey(keyOf('k', 'proj_a'));
      await store.createKey(keyOf('d', 'default'));
      const finished = await Promise.all(Array.from({ length: 5 }, () => ended(store, 'proj_a')));
      const kept = await ended(store, 'default');
      const running = await begin(store, { projectId: 'proj_a' });
      const queued = await begin(store, { projectId: 'proj_a', workerId: null });
      const items = ['one', 'two', 'three'].map((text) => ({
        id: `msg_${text}`,
        type: 'message' as const,
        role: 'user' as const,
        status: 'completed' as const,
        content: [{ type: 'input_text' as const, text }],
      }));
      await store.createConversation('proj_a', { id: 'conv_a', createdAt: NOW, metadata: {} }, items);
      await store.createConversation('default', { id: 'conv_d', createdAt: NOW, metadata: {} }, items);
      const endpoint = { name: 'e', url: 'https://e.example/', secret: 's', createdAt: NOW };
      await store.createEndpoint('proj_a', { ...endpoint, id: 'whe_a', eventTypes: ['response.completed'] });
      const told = await begin(store, { projectId: 'proj_a' });
      await finish(store, told.no, endOf([], { eventId: 'evt_1' }));
      assert.equal((await store.listPending(5)).length, 1);

      assert.equal(await store.deleteProject('proj_a', NOW), true);
      assert.equal(await store.deleteProject('proj_a', NOW), false);
      assert.equal(await store.findProject('proj_a'), undefined);
      assert.equal(await store.updateProject('proj_a', { name: 'back' }, NOW), undefined);
      assert.equal(await store.findKey(keyOf('k', '').hash), undefined);
      assert.equal((await store.findKey(keyOf('d', '').hash))?.id, 'd');
      assert.equal(await store.createKey(keyOf('l', 'proj_a')), 'project_absent');
      assert.deepEqual(await store.listResponses('proj_a', { limit: 5 }, NOW), { outcome: 'absent' });
      assert.deepEqual(await store.listPending(5), [], 'nobody is told any more');
      await assert.rejects(begin(store, { projectId: 'proj_a' }), /project_absent/);
      await store.createConversation('proj_a', { id: 'conv_late', createdAt: NOW, metadata: {} }, items);
      assert.equal(await store.findConversation('proj_a', 'conv_late'), undefined);

      const reopened = await harness.reopen();
      assert.deepEqual(await reopened.listDeletedProjects(5), ['proj_a']);
      const first = await forgetAll(reopened, 'proj_a', 2);
      assert.deepEqual(first.unfinished, [queued.id, running.id]);
      for (const { no, id } of [running, queued]) {
        const fenced = await reopened.fenceForCancel('proj_a', id, 'w2', NOW);
        assert.ok(fenced.outcome === 'fenced');
        const { n, nextSequence, epoch } = fenced.response.tail;
        const chunk = {
          n: n + 1,
          firstSequence: nextSequence,
          count: 1,
          epoch,
          closed: true,
          body: new Uint8Array([2]),
        };
        assert.deepEqual(await reopened.append([{ no, chunk, end: endOf([], { status: 'cancelled' }) }]), [true]);
      }
      const { calls } = await forgetAll(reopened, 'proj_a', 2);
      assert.ok(calls > 2, 'it goes in slices');
      assert.deepEqual(await reopened.listDeletedProjects(5), []);
      for (const id of [...finished, running.id, queued.id]) {
        assert.equal(await reopened.find('proj_a', id, NOW), undefined);
      }
      assert.equal(await reopened.findConversation('proj_a', 'conv_a'), undefined);
      assert.deepEqual(entriesOf(await reopened.listEndpoints('proj_a', { limit: 5 })), []);
      const left = await reopened.findItems('proj_a', ['msg_one', `msg_of_${finished[0] ?? ''}`], NOW, PLENTY);
      assert.deepEqual(left, { outcome: 'read', items: [undefined, undefined] });

      assert.equal((await reopened.find('default', kept, NOW))?.status, 'completed');
      assert.equal((await reopened.findConversation('default', 'conv_d'))?.id, 'conv_d');
      assert.deepEqual((await audited(reopened)).at(-1), ['project.delete', 'proj_a', { name: 'The proj_a' }]);
    });

    withStore('the responses of a project are listed newest first, by status, and nobody else’s', async (store) => {
      await store.createProject(projectOf('proj_a'));
      const first = await ended(store, 'proj_a');
      await ended(store, 'default');
      const running = await begin(store, { projectId: 'proj_a' });
      const last = await ended(store, 'proj_a');
      const ids = async (query: Parameters<Store['listResponses']>[1]) =>
        entriesOf(await store.listResponses('proj_a', query, NOW)).map(({ id }) => id);
      assert.deepEqual(await ids({ limit: 10 }), [last, running.id, first]);
      assert.deepEqual(await ids({ limit: 1, after: last }), [running.id]);
      assert.deepEqual(await ids({ limit: 10, status: 'completed' }), [last, first]);
      assert.deepEqual(await ids({ limit: 10, status: 'completed', after: last }), [first]);
      assert.deepEqual(await ids({ limit: 10, status: 'queued' }), []);
      assert.deepEqual(await store.listResponses('default', { limit: 1, after: last }, NOW), { outcome: 'no_cursor' });
      const [newest] = entriesOf(await store.listResponses('proj_a', { limit: 1 }, NOW));
      assert.deepEqual(newest, {
        id: last,
        status: 'completed',
        model: 'otter',
        background: true,
        createdAt: NOW,
        doneAt: NOW,
      });
      assert.equal(await store.delete('proj_a', last, NOW), 'deleted');
      assert.deepEqual(await ids({ limit: 10 }), [running.id, first]);
    });

    withStore('the audit log is read newest first, page by page', async (store, harness) => {
      for (const target of ['one', 'two', 'three']) {
        await store.recordAudit({ at: NOW, action: 'backup.create', target, detail: { n: target.length } });
      }
      const reopened = await harness.reopen();
      const first = await reopened.listAudit({ limit: 2 });
      assert.deepEqual(
        entriesOf(first).map(({ target }) => target),
        ['three', 'two'],
      );
      const second = await reopened.listAudit({ limit: 2, after: entriesOf(first)[1]?.id });
      const [oldest] = entriesOf(second);
      assert.deepEqual(oldest, { id: oldest?.id, at: NOW, action: 'backup.create', target: 'one', detail: { n: 3 } });
      for (const after of ['nothing', 'audit_99', 'audit_']) {
        assert.deepEqual(await reopened.listAudit({ limit: 2, after }), { outcome: 'no_cursor' });
      }
    });
  });
}
