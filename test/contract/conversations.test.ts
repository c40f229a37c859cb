import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import type { Store } from '../../server/src/domain/ports.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { SILENT, assertError, call, cancel, create, get, otter, pollUntil, post, remove, textOf } from './wire.ts';

/** Conversations (contract.md §1.8), by the official client. */

let holt: TestHolt;
let client: OpenAI;
before(async () => {
  holt = await startHolt();
  client = holt.client;
});
after(() => holt.stop());

type Items = { id: string; type: string; role?: string; content?: { text?: string }[] }[];

async function itemsOf(id: string, order: 'asc' | 'desc' = 'asc', limit = 20): Promise<Items> {
  const items: Items = [];
  for await (const item of client.conversations.items.list(id, { order, limit })) items.push(item as Items[number]);
  return items;
}

const texts = (items: Items): (string | undefined)[] => items.map(({ content }) => content?.[0]?.text);

describe('a conversation', () => {
  test('is created, with and without items, read, changed and deleted', async () => {
    const empty = await client.conversations.create();
    assert.match(empty.id, /^conv_[0-9a-f]+$/);
    assert.deepEqual(
      { ...empty, id: '', created_at: 0 },
      { id: '', object: 'conversation', created_at: 0, metadata: {} },
    );
    assert.ok(Number.isInteger(empty.created_at));
    const conversation = await client.conversations.create({
      metadata: { topic: 'otters' },
      items: [{ role: 'user', content: 'hello' }],
    });
    assert.deepEqual(conversation.metadata, { topic: 'otters' });
    assert.deepEqual(await client.conversations.retrieve(conversation.id), conversation);
    const changed = await client.conversations.update(conversation.id, { metadata: { topic: 'space' } });
    assert.deepEqual(changed, { ...conversation, metadata: { topic: 'space' } });
    assert.deepEqual(texts(await itemsOf(conversation.id)), ['hello']);
    assert.deepEqual(await client.conversations.delete(conversation.id), {
      id: conversation.id,
      object: 'conversation.deleted',
      deleted: true,
    });
    for (const gone of [
      () => client.conversations.retrieve(conversation.id),
      () => client.conversations.update(conversation.id, { metadata: {} }),
      () => client.conversations.delete(conversation.id),
      () => client.conversations.items.list(conversation.id),
      () => client.conversations.items.create(conversation.id, { items: [{ role: 'user', content: 'x' }] }),
      () => client.conversations.items.retrieve('msg_1', { conversation_id: conversation.id }),
      () => client.conversations.items.delete('msg_1', { conversation_id: conversation.id }),
      () => client.responses.create({ model: 'otter', input: 'hi', conversation: conversation.id }),
    ]) {
      await assert.rejects(gone(), OpenAI.NotFoundError);
    }
  });

  test('an empty body, and none at all, make an empty one', async () => {
    for (const init of [{}, { headers: { 'content-type': 'application/json' } }]) {
      const made = await call('POST', `${holt.url}/v1/conversations`, init);
      assert.equal(made.status, 200, made.text);
    }
  });

  test('its items are added, listed in pages both ways, read and deleted', async () => {
    const { id } = await client.conversations.create();
    for (let page = 0; page < 3; page += 1) {
      const items = Array.from({ length: 15 }, (_, index) => ({
        role: 'user' as const,
        content: `message ${page * 15 + index}`,
      }));
      const added = await client.conversations.items.create(id, { items });
      assert.equal(added.data.length, 15);
      assert.equal(added.first_id, added.data[0]?.id);
    }
    const all = await itemsOf(id);
    assert.deepEqual(
      texts(all),
      Array.from({ length: 45 }, (_, index) => `message ${index}`),
    );
    assert.deepEqual(await itemsOf(id, 'desc', 7), all.toReversed());
    const before = await get(holt, `conversations/${id}/items?order=desc&limit=2&before=${all[40]?.id}`);
    assert.deepEqual(
      (JSON.parse(before.text) as { data: Items }).data.map((item) => item.id),
      [all[42]?.id, all[41]?.id],
    );
    const third = all[2]?.id ?? '';
    assert.deepEqual(await client.conversations.items.retrieve(third, { conversation_id: id }), all[2]);
    const conversation = await client.conversations.items.delete(third, { conversation_id: id });
    assert.equal(conversation.id, id);
    assert.equal((await itemsOf(id)).length, 44);
    await assert.rejects(client.conversations.items.retrieve(third, { conversation_id: id }), OpenAI.NotFoundError);
    await assert.rejects(client.conversations.items.delete(third, { conversation_id: id }), OpenAI.NotFoundError);
    assertError(await get(holt, `conversations/${id}/items?after=${third}`), 400, { param: 'after' });
    const again = { items: [{ ...all[5], id: all[5]?.id }] };
    assertError(await post(holt, again, {}, `conversations/${id}/items`), 400, { param: 'items' });
    assert.equal((await itemsOf(id)).length, 44);
  });

  test('an empty list has no ids', async () => {
    const { id } = await client.conversations.create();
    const page = JSON.parse((await get(holt, `conversations/${id}/items`)).text) as object;
    assert.deepEqual(page, { object: 'list', data: [], first_id: null, last_id: null, has_more: false });
  });
});

describe('a response in a conversation', () => {
  let upstream: Upstream;
  let relay: TestHolt;
  before(async () => {
    upstream = await startUpstream();
    relay = await startHolt({ flags: ['--upstream', upstream.url] });
  });
  after(async () => {
    await relay.stop();
    await upstream.stop();
  });

  for (const background of [false, true]) {
    test(`adds what was asked and answered, and is given what was there (background: ${background})`, async () => {
      const model = `turns-${background}`;
      const made = await relay.client.conversations.create({ items: [{ role: 'developer', content: 'Be brief.' }] });
      for (const turn of ['first', 'second']) {
        const body = { model, input: turn, conversation: turn === 'first' ? made.id : { id: made.id }, background };
        const response = await create(relay, body);
        assert.deepEqual(response.conversation, { id: made.id });
        const ended = await pollUntil(relay, response.id);
        assert.equal(textOf(ended), 'Hello from the upstream.');
        assert.deepEqual(ended.conversation, { id: made.id });
      }
      const request = await upstream.waitForRequest(model, 2);
      assert.deepEqual((request.body as { messages: unknown }).messages, [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'first' },
        { role: 'assistant', content: 'Hello from the upstream.' },
        { role: 'user', content: 'second' },
      ]);
      const items = await relay.client.conversations.items.list(made.id, { order: 'asc' });
      assert.deepEqual(
        items.data.map((item) => ('role' in item ? item.role : item.type)),
        ['developer', 'user', 'assistant', 'user', 'assistant'],
      );
    });
  }

  test('a chain can go on from one, as it was then', async () => {
    const made = await relay.client.conversations.create();
    const first = await create(relay, { model: 'leaves', input: 'a', conversation: made.id });
    await create(relay, { model: 'leaves', input: 'b', conversation: made.id });
    await create(relay, { model: 'leaves', input: 'c', previous_response_id: first.id });
    const request = await upstream.waitForRequest('leaves', 3);
    assert.deepEqual(
      (request.body as { messages: { content: string }[] }).messages.map(({ content }) => content),
      ['a', 'Hello from the upstream.', 'c'],
    );
  });

  test('a response that failed or was cancelled adds nothing', async () => {
    const { id } = await client.conversations.create();
    const failed = await create(holt, otter({ fail_after: 3 }, { background: true, conversation: id }));
    assert.equal((await pollUntil(holt, failed.id)).status, 'failed');
    const cancelled = await create(holt, otter(SILENT, { background: true, conversation: id }));
    await cancel(holt, cancelled.id);
    assert.deepEqual(await itemsOf(id), []);
  });

  test('an unfinished one in the background holds it, whoever comes, until its end', async () => {
    const { id } = await client.conversations.create();
    const other = await client.conversations.create();
    const holder = await create(holt, otter(SILENT, { background: true, conversation: id }));
    for (const background of [false, true]) {
      const refused = await post(holt, otter({}, { background, conversation: id }));
      assertError(refused, 400, { code: 'conversation_locked', param: 'conversation' });
      await create(holt, otter({}, { background, conversation: other.id })).then((made) => pollUntil(holt, made.id));
    }
    await cancel(holt, holder.id);
    const next = await create(holt, otter({}, { conversation: id }));
    assert.equal(next.status, 'completed');
  });

  test('a background create that lost the race for it leaves no row and no upstream request', async () => {
    const { id } = await client.conversations.create();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => post(holt, otter(SILENT, { background: true, conversation: id }))),
    );
    const won = answers.filter((answer) => answer.status === 200);
    assert.equal(won.length, 1);
    for (const answer of answers) if (answer.status !== 200) assertError(answer, 400, { code: 'conversation_locked' });
    const { id: holder } = JSON.parse(won[0]?.text ?? '') as { id: string };
    await cancel(holt, holder);
  });

  test('two foreground turns at once are added in the order in which they end', async () => {
    const { id } = await relay.client.conversations.create();
    const gated = [
      { gate: 'slow-turn' },
      { delta: { role: 'assistant', content: 'slow' } },
      { finish: 'stop' },
      { done: true as const },
    ];
    await upstream.script('slow-turn', gated);
    const slow = create(relay, { model: 'slow-turn', input: 'a', conversation: id });
    await upstream.waitForGate('slow-turn');
    await create(relay, { model: 'quick-turn', input: 'b', conversation: id });
    await upstream.release('slow-turn');
    await slow;
    const items = await relay.client.conversations.items.list(id, { order: 'asc' });
    assert.deepEqual(texts(items.data as Items), ['b', 'Hello from the upstream.', 'a', 'slow']);
  });

  test('items can be added while somebody holds it, and come before the turn', async () => {
    const { id } = await client.conversations.create();
    const holder = await create(holt, otter(SILENT, { background: true, conversation: id }));
    await client.conversations.items.create(id, { items: [{ role: 'user', content: 'meanwhile' }] });
    await cancel(holt, holder.id);
    assert.deepEqual(texts(await itemsOf(id)), ['meanwhile']);
  });

  test('deleted between reading and creating, it is not found', async () => {
    let conversation = '';
    await using deleting = await startHolt({
      overrides: {
        wrapStore: (store) =>
          Object.assign(Object.create(store) as Store, {
            create: async (...args: Parameters<Store['create']>) => {
              await store.deleteConversation('default', conversation);
              return store.create(...args);
            },
            close: () => store.close(),
          }),
      },
    });
    conversation = (await deleting.client.conversations.create()).id;
    const refused = await post(deleting, otter({}, { background: true, conversation }));
    assertError(refused, 404, { message: new RegExp(conversation) });
  });

  test('deleted meanwhile, it fails nothing', async () => {
    const { id } = await client.conversations.create();
    const running = await create(
      holt,
      otter({ tokens: 5, first_token_ms: 50 }, { background: true, conversation: id }),
    );
    await client.conversations.delete(id);
    const ended = await pollUntil(holt, running.id);
    assert.equal(ended.status, 'completed');
    assert.deepEqual(ended.conversation, { id });
  });

  test('deleting the response leaves the conversation as it is', async () => {
    const { id } = await client.conversations.create();
    const response = await create(holt, otter({}, { conversation: id }));
    await remove(holt, response.id);
    assert.equal((await itemsOf(id)).length, 2);
  });

  test('store: false is a 400, since the conversation would keep it', async () => {
    const { id } = await client.conversations.create();
    const refused = await post(holt, otter({}, { conversation: id, store: false }));
    assertError(refused, 400, { param: 'conversation', code: 'unsupported_parameter' });
  });

  test('a server that died does not leave it locked', async () => {
    const data = await temporaryDirectory();
    const before = await startHolt({ data });
    const { id } = await before.client.conversations.create();
    const holder = await create(
      before,
      otter({ tokens: 10_000, interval_ms: 20 }, { background: true, conversation: id }),
    );
    await pollUntil(before, holder.id, (response) => response.output.length > 0);
    await before.stop();
    const after = await startHolt({ data });
    try {
      assert.equal((await pollUntil(after, holder.id)).status, 'failed');
      assert.equal((await create(after, otter({}, { conversation: id }))).status, 'completed');
    } finally {
      await after.stop();
    }
  });
});

describe('bad input', () => {
  const tooMany = Array.from({ length: 21 }, () => ({ role: 'user', content: 'x' }));
  for (const [name, path, body, param] of [
    ['metadata that is no map', 'conversations', { metadata: { a: 1 } }, 'metadata.a'],
    ['too many items', 'conversations', { items: tooMany }, 'items'],
    ['an item of no type', 'conversations', { items: [{ text: 'x' }] }, 'items[0].type'],
    ['no metadata to change', 'conversations/ID', {}, 'metadata'],
    ['no items to add', 'conversations/ID/items', {}, 'items'],
    ['an empty list of items', 'conversations/ID/items', { items: [] }, 'items'],
  ] as const) {
    test(`${name} is a 400 that names it, and nothing is written`, async () => {
      const { id } = await client.conversations.create({ metadata: { kept: 'yes' } });
      assertError(await post(holt, body, {}, path.replace('ID', id)), 400, { param });
      assert.deepEqual((await client.conversations.retrieve(id)).metadata, { kept: 'yes' });
      assert.deepEqual(await itemsOf(id), []);
    });
  }

  for (const query of ['limit=0', 'limit=101', 'limit=x', 'order=up', 'after=msg_nothing', 'before=msg_nothing']) {
    test(`${query} is a 400 that names it`, async () => {
      const { id } = await client.conversations.create();
      assertError(await get(holt, `conversations/${id}/items?${query}`), 400, { param: query.split('=')[0] ?? '' });
    });
  }
});
