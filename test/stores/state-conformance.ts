import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { End, NewResponse, Store } from '../../server/src/domain/ports.ts';
import type { Item, ItemsQuery } from '../../server/src/domain/state-store.ts';
import type { StoreHarness } from './conformance.ts';
import { inputOf } from './read-input.ts';

/** What every store must do with chains, items and conversations. */

const NOW = 1_700_000_000_000;
const DAY = 86_400_000;
const PLENTY = 1 << 20;
let ids = 0;

function item(id: string, text = id): Item {
  return { id, type: 'message', role: 'user', status: 'completed', content: [{ type: 'input_text', text }] };
}

export function responseOf(over: Partial<NewResponse> & { input?: Item[] } = {}): NewResponse {
  const { input = [], ...rest } = over;
  return {
    id: `resp_${(ids += 1)}`,
    projectId: 'default',
    model: 'otter',
    provider: 'scripted',
    stream: false,
    request: { body: { model: 'otter', input: 'hi' }, upstreamModel: 'otter', inputItems: input },
    createdAt: NOW,
    expiresAt: NOW + DAY,
    previousResponseId: null,
    conversation: null,
    history: [],
    workerId: 'w1',
    chunk: { n: 0, firstSequence: 0, count: 3, epoch: 0, closed: false, body: new Uint8Array([1]) },
    ...rest,
  };
}

export function endOf(output: Item[], over: Partial<End> = {}): End {
  return {
    status: 'completed',
    snapshot: new TextEncoder().encode(JSON.stringify({ output })),
    doneAt: NOW,
    logExpiresAt: NOW + DAY,
    eventId: null,
    outputIds: output.map(({ id }) => id),
    turn: [],
    ...over,
  };
}

export async function begin(
  store: Store,
  over: Parameters<typeof responseOf>[0] = {},
  queueMax = 1_000,
): Promise<{ id: string; no: number; position?: number | undefined }> {
  const response = responseOf(over);
  const made = await store.create(response, queueMax);
  assert.ok(made.outcome === 'created', made.outcome);
  return { id: response.id, no: made.no, position: made.position };
}

export async function finish(store: Store, no: number, end: End): Promise<void> {
  const chunk = { n: 1, firstSequence: 3, count: 1, epoch: 0, closed: true, body: new Uint8Array([2]) };
  assert.deepEqual(await store.append([{ no, chunk, end }]), [true]);
}

async function ended(store: Store, over: Parameters<typeof responseOf>[0], output: Item[]): Promise<string> {
  const { id, no } = await begin(store, over);
  await finish(store, no, endOf(output));
  return id;
}

async function foundIds(store: Store, project: string, wanted: string[], now: number, maxBytes = PLENTY) {
  const found = await store.findItems(project, wanted, now, maxBytes);
  return found.outcome === 'read' ? found.items.map((one) => one?.id) : found.outcome;
}

const idsOf = (items: readonly Item[] | undefined): string[] | undefined => items?.map(({ id }) => id);

async function chainIds(store: Store, id: string, now = NOW): Promise<string[] | string | undefined> {
  const chain = await store.readChain('default', id, now, PLENTY);
  return chain.outcome === 'read' ? idsOf(chain.items) : chain.outcome;
}

export function stateConformance(name: string, open: () => Promise<StoreHarness>): void {
  describe(`state: ${name}`, () => {
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

    withStore('a chain is read oldest first, through background and foreground responses', async (store, harness) => {
      const first = await ended(store, { input: [item('a')] }, [item('b')]);
      const second = responseOf({ input: [item('c')], previousResponseId: first });
      await store.createEnded(second, endOf([item('d')], { status: 'incomplete' }));
      const third = await ended(store, { input: [item('e')], previousResponseId: second.id }, [item('f')]);
      assert.deepEqual(await chainIds(store, third), ['a', 'b', 'c', 'd', 'e', 'f']);
      assert.deepEqual(await inputOf(store, third), ['a', 'b', 'c', 'd', 'e']);
      assert.equal((await store.readChain('other', third, NOW, PLENTY)).outcome, 'broken');
      assert.equal((await store.readChain('default', third, NOW, 100)).outcome, 'too_large');
      const reopened = await harness.reopen();
      assert.deepEqual(await chainIds(reopened, third), ['a', 'b', 'c', 'd', 'e', 'f']);
    });

    withStore('a chain breaks at a link that is unfinished, failed, deleted or past its time', async (store) => {
      const { id: unfinished } = await begin(store);
      const { id: failed, no } = await begin(store);
      await finish(store, no, endOf([], { status: 'failed' }));
      const first = await ended(store, { input: [item('a')], expiresAt: NOW + 2 * DAY }, []);
      const expiring = await ended(store, { previousResponseId: first }, []);
      const [input, expiresAt] = [[item('y')], NOW + 2 * DAY];
      const last = await ended(store, { input, previousResponseId: expiring, expiresAt }, [item('z')]);
      assert.deepEqual(await chainIds(store, last), ['a', 'y', 'z']);
      assert.equal(await chainIds(store, last, NOW + DAY), 'broken');
      for (const previousResponseId of [unfinished, failed, 'resp_nothing']) {
        assert.equal(await chainIds(store, previousResponseId), 'broken');
      }
      await store.delete('default', first, NOW);
      assert.equal(await chainIds(store, last), 'broken');
      assert.deepEqual(await inputOf(store, last), ['y'], 'its own are still there');
      const newest = await ended(store, { previousResponseId: last, expiresAt: NOW + 2 * DAY }, []);
      assert.deepEqual(await inputOf(store, newest), ['y', 'z'], 'and what came after the gap');
    });

    withStore('what came before is kept for a run until its end', async (store) => {
      const before = [item('a'), item('b')];
      const { no } = await begin(store, { workerId: null, history: before, input: [item('c')] });
      const [claimed] = (await store.claim('w1', 1, new Uint8Array([3]), NOW)).responses;
      assert.deepEqual(claimed?.history, before);
      assert.deepEqual(idsOf(claimed?.request.inputItems), ['c']);
      assert.equal(claimed?.no, no);
      const taken = await store.takeOver(no, 'w2');
      assert.deepEqual(taken?.history, before);
    });

    withStore('items are found by id as long as their response or conversation is there', async (store) => {
      const id = await ended(store, { input: [item('in')] }, [item('out')]);
      const foreground = responseOf({ input: [item('f-in')] });
      await store.createEnded(foreground, endOf([item('f-out')]));
      await store.createConversation('default', { id: 'conv_1', createdAt: NOW, metadata: {} }, [item('said')]);
      const wanted = ['out', 'nothing', 'in', 'said', 'f-out', 'f-in'];
      const find = (project = 'default', now = NOW) => foundIds(store, project, wanted, now);
      assert.deepEqual(await find(), ['out', undefined, 'in', 'said', 'f-out', 'f-in']);
      assert.deepEqual(
        await find('other'),
        wanted.map(() => undefined),
      );
      assert.deepEqual((await find('default', NOW + DAY))[0], undefined);
      for (const one of ['out', 'in', 'said']) {
        assert.equal(await foundIds(store, 'default', [one], NOW, 10), 'too_large');
      }
      await store.delete('default', id, NOW);
      await store.deleteConversation('default', 'conv_1');
      assert.deepEqual(await find(), [undefined, undefined, undefined, undefined, 'f-out', 'f-in']);
      await store.sweep(NOW + DAY, NOW + DAY, 100);
      assert.deepEqual(
        await find(),
        wanted.map(() => undefined),
      );
    });

    withStore('the items of a conversation keep their order, and a page is cut at ids', async (store) => {
      await store.createConversation('default', { id: 'conv_1', createdAt: NOW, metadata: { a: 'b' } }, [item('a')]);
      assert.equal(await store.addItems('default', 'conv_1', [item('b'), item('c'), item('d')]), 'added');
      assert.equal(await store.addItems('default', 'conv_1', [item('e'), item('a')]), 'duplicate');
      assert.equal(await store.addItems('other', 'conv_1', [item('e')]), 'absent');
      const page = async (query: object): Promise<unknown> => {
        const found = await store.listItems('default', 'conv_1', { limit: 2, order: 'asc', ...query }, PLENTY);
        return found.outcome === 'page' ? [idsOf(found.items)?.join(''), found.hasMore] : found;
      };
      assert.deepEqual(await page({}), ['ab', true]);
      assert.deepEqual(await page({ after: 'b' }), ['cd', false]);
      assert.deepEqual(await page({ after: 'a', before: 'c' }), ['b', false]);
      assert.deepEqual(await page({ order: 'desc' }), ['dc', true]);
      assert.deepEqual(await page({ order: 'desc', after: 'c' }), ['ba', false]);
      assert.deepEqual(await page({ order: 'desc', before: 'b' }), ['dc', false]);
      assert.deepEqual(await page({ before: 'd' }), ['bc', true], 'the page that ends there');
      assert.deepEqual(await page({ order: 'desc', before: 'a' }), ['cb', true]);
      assert.deepEqual(await page({ before: 'c' }), ['ab', false]);
      assert.deepEqual(await page({ after: 'z' }), { outcome: 'no_cursor', param: 'after' });
      assert.equal(await store.deleteItem('default', 'conv_1', 'b'), true);
      assert.equal(await store.deleteItem('default', 'conv_1', 'b'), false);
      assert.equal(await store.findItem('default', 'conv_1', 'b'), undefined);
      assert.deepEqual(await store.findItem('default', 'conv_1', 'c'), item('c'));
      assert.deepEqual(await page({}), ['ac', true]);
      assert.equal((await store.listItems('other', 'conv_1', { limit: 1, order: 'asc' }, PLENTY)).outcome, 'absent');
      assert.deepEqual(await store.setMetadata('default', 'conv_1', {}), {
        id: 'conv_1',
        createdAt: NOW,
        metadata: {},
      });
      assert.equal(await store.setMetadata('other', 'conv_1', {}), undefined);
      assert.equal(await store.deleteConversation('other', 'conv_1'), false);
    });

    withStore('what a response was given is paged over its chain and conversation', async (store) => {
      await store.createConversation('default', { id: 'conv_1', createdAt: NOW, metadata: {} }, [item('a'), item('b')]);
      const read = await store.readConversation('default', 'conv_1', PLENTY);
      assert.ok(read.outcome === 'read');
      const turn = [item('c'), item('d'), item('e')];
      const first = responseOf({ input: [item('c'), item('d')], conversation: read.place });
      await store.createEnded(first, endOf([item('e')], { turn }));
      const second = await ended(store, { previousResponseId: first.id }, [item('f')]);
      const input = [item('g'), item('h', 'h'.repeat(1_000))];
      const last = await ended(store, { input, previousResponseId: second }, [item('out')]);
      const pages = async (query: ItemsQuery, maxBytes = PLENTY): Promise<string[]> => {
        const seen: string[] = [];
        for (let after = query.after; ;) {
          const page = await store.listInput('default', last, NOW, { ...query, after }, maxBytes);
          assert.ok(page.outcome === 'page', page.outcome);
          seen.push(page.items.map(({ id }) => id).join(''));
          if (!page.hasMore) return seen;
          after = page.items.at(-1)?.id;
        }
      };
      assert.deepEqual(await pages({ limit: 3, order: 'asc' }), ['abc', 'def', 'gh']);
      assert.deepEqual(await pages({ limit: 3, order: 'desc' }), ['hgf', 'edc', 'ba']);
      assert.deepEqual(await pages({ limit: 4, order: 'asc' }), ['abcd', 'efgh']);
      for (const limit of [1, 2, 5, 8, 9]) {
        assert.equal((await pages({ limit, order: 'asc' })).join(''), 'abcdefgh');
        assert.equal((await pages({ limit, order: 'desc' })).join(''), 'hgfedcba');
      }
      assert.deepEqual(await pages({ limit: 9, order: 'asc', after: 'b', before: 'f' }), ['cde']);
      assert.deepEqual(await pages({ limit: 9, order: 'desc', after: 'f', before: 'b' }), ['edc']);
      assert.deepEqual(await pages({ limit: 9, order: 'asc', after: 'f', before: 'b' }), ['']);
      for (const [query, seen, hasMore] of [
        [{ limit: 3, order: 'asc', before: 'g' }, 'def', true],
        [{ limit: 6, order: 'asc', before: 'g' }, 'abcdef', false],
        [{ limit: 3, order: 'desc', before: 'b' }, 'edc', true],
      ] as const) {
        const page = await store.listInput('default', last, NOW, query, PLENTY);
        assert.ok(page.outcome === 'page');
        assert.deepEqual([page.items.map(({ id }) => id).join(''), page.hasMore], [seen, hasMore]);
      }
      assert.deepEqual(await pages({ limit: 9, order: 'asc', after: 'h' }), ['']);
      // A request is read as a whole, the items of a conversation one by one.
      assert.deepEqual(await pages({ limit: 9, order: 'asc' }, 10), ['a', 'b', 'cd', 'e', 'f', 'gh']);
      for (const param of ['after', 'before'] as const) {
        // An output of its own is no input of it.
        for (const id of ['out', 'nothing']) {
          const page = await store.listInput('default', last, NOW, { limit: 1, order: 'asc', [param]: id }, PLENTY);
          assert.deepEqual(page, { outcome: 'no_cursor', param });
        }
      }
      assert.equal((await store.listInput('other', last, NOW, { limit: 1, order: 'asc' }, PLENTY)).outcome, 'absent');
    });

    withStore('a page of a conversation ends early when it grows too large', async (store) => {
      const items = [item('a', 'x'.repeat(500)), item('b', 'x'.repeat(500)), item('c'), item('d')];
      await store.createConversation('default', { id: 'conv_1', createdAt: NOW, metadata: {} }, items);
      const page = async (query: object, maxBytes: number): Promise<unknown> => {
        const found = await store.listItems('default', 'conv_1', { limit: 4, order: 'asc', ...query }, maxBytes);
        return found.outcome === 'page' ? [idsOf(found.items)?.join(''), found.hasMore] : found;
      };
      assert.deepEqual(await page({}, 10), ['a', true]);
      assert.deepEqual(await page({}, 1_000), ['a', true]);
      assert.deepEqual(await page({ after: 'a' }, 1_000), ['bcd', false]);
      assert.deepEqual(await page({ order: 'desc' }, 1_000), ['dcb', true]);
    });

    withStore('an item is found where it came out, not in the requests that sent it again', async (store) => {
      await ended(store, { input: [item('q')] }, [item('a', 'first')]);
      const again = [item('q'), item('a', 'first'), item('more', 'x'.repeat(5_000))];
      await ended(store, { input: again }, [item('b')]);
      assert.deepEqual(await foundIds(store, 'default', ['a', 'b'], NOW, 1_000), ['a', 'b']);
    });

    withStore('an item that very many responses hold is found in the one that is still there', async (store) => {
      const kept = await ended(store, { input: [item('same')], expiresAt: NOW + 2 * DAY }, []);
      for (let more = 0; more < 250; more += 1) await ended(store, { input: [item('same')] }, []);
      assert.deepEqual(await foundIds(store, 'default', ['same'], NOW + DAY), ['same']);
      await store.delete('default', kept, NOW);
      assert.deepEqual(await foundIds(store, 'default', ['same'], NOW + DAY), [undefined]);
    });

    withStore('many items are indexed', async (store) => {
      const input = Array.from({ length: 10_000 }, (_, index) => item(`m${index}`));
      await begin(store, { input });
      assert.deepEqual(await foundIds(store, 'default', ['m0', 'm9999'], NOW, 1 << 24), ['m0', 'm9999']);
    });

    withStore('a turn is added in the transaction that ends its response, and holds until then', async (store) => {
      await store.createConversation('default', { id: 'conv_1', createdAt: NOW, metadata: {} }, [item('a')]);
      const read = async (): Promise<{
        items: string[] | undefined;
        held: boolean;
        place: { no: number; upTo: number };
      }> => {
        const found = await store.readConversation('default', 'conv_1', PLENTY);
        assert.ok(found.outcome === 'read');
        return { items: idsOf(found.items), held: found.held, place: found.place };
      };
      const before = await read();
      assert.equal(before.held, false);
      const { no, id } = await begin(store, { conversation: before.place, input: [item('b')] });
      assert.equal((await read()).held, true);
      const second = await store.create(responseOf({ conversation: before.place }), 100);
      assert.equal(second.outcome, 'conversation_locked');
      await finish(store, no, endOf([item('c')], { turn: [item('b'), item('c')] }));
      assert.deepEqual({ ...(await read()), place: 0 }, { items: ['a', 'b', 'c'], held: false, place: 0 });
      const late = await store.create(responseOf({ conversation: before.place }), 100);
      assert.equal(late.outcome, 'conversation_locked', 'it was read before the turn was added');
      assert.deepEqual(await inputOf(store, id), ['a', 'b']);
      const foreground = responseOf({ conversation: (await read()).place });
      await store.createEnded(foreground, endOf([item('e')], { turn: [item('d'), item('e')] }));
      assert.deepEqual((await read()).items, ['a', 'b', 'c', 'd', 'e']);
      assert.equal((await store.readConversation('default', 'conv_1', 10)).outcome, 'too_large');
      assert.equal((await store.readConversation('other', 'conv_1', PLENTY)).outcome, 'absent');
    });

    withStore('a turn is added whole, though somebody has taken an id of it meanwhile', async (store) => {
      await store.createConversation('default', { id: 'conv_1', createdAt: NOW, metadata: {} }, []);
      const found = await store.readConversation('default', 'conv_1', PLENTY);
      assert.ok(found.outcome === 'read');
      const { no } = await begin(store, { conversation: found.place, input: [item('same', 'mine'), item('equal')] });
      await store.addItems('default', 'conv_1', [item('same', 'another'), item('equal')]);
      const turn = [item('same', 'mine'), item('equal'), item('out')];
      await finish(store, no, endOf([item('out')], { turn }));
      const page = await store.listItems('default', 'conv_1', { limit: 10, order: 'asc' }, PLENTY);
      assert.ok(page.outcome === 'page');
      const texts = page.items.map((one) => (one.type === 'message' ? one.content : []));
      const said = (text: string): object[] => [{ type: 'input_text', text }];
      assert.deepEqual(texts, [said('another'), said('equal'), said('mine'), said('out')]);
      assert.equal(new Set(page.items.map(({ id }) => id)).size, 4);
    });

    withStore('a conversation that is deleted while a response runs over it stays deleted', async (store) => {
      await store.createConversation('default', { id: 'conv_1', createdAt: NOW, metadata: {} }, []);
      const found = await store.readConversation('default', 'conv_1', PLENTY);
      assert.ok(found.outcome === 'read');
      const { no, id } = await begin(store, { conversation: found.place, input: [item('a')] });
      await store.deleteConversation('default', 'conv_1');
      const late = await store.create(responseOf({ conversation: found.place }), 100);
      assert.equal(late.outcome, 'conversation_absent');
      await finish(store, no, endOf([item('b')], { turn: [item('a'), item('b')] }));
      assert.equal((await store.find('default', id, NOW))?.status, 'completed');
      assert.equal(await store.findConversation('default', 'conv_1'), undefined);
      await store.delete('default', id, NOW);
      assert.deepEqual(await foundIds(store, 'default', ['a', 'b'], NOW), [undefined, undefined]);
    });
  });
}
