import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type OpenAI from 'openai';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { RecordedRequest, Upstream } from '../support/upstream.ts';
import { SILENT, assertError, cancel, create, get, otter, poll, pollUntil, post, remove, textOf } from './wire.ts';

/** previous_response_id and item references: what a request builds on. */

let upstream: Upstream;
let holt: TestHolt;
before(async () => {
  upstream = await startUpstream();
  holt = await startHolt({ flags: ['--upstream', upstream.url] });
});
after(async () => {
  await holt.stop();
  await upstream.stop();
});

type Message = { role: string; content: unknown; tool_calls?: unknown[]; tool_call_id?: string };

async function messagesFor(model: string, n = 1): Promise<Message[]> {
  const request: RecordedRequest = await upstream.waitForRequest(model, n);
  return (request.body as { messages: Message[] }).messages;
}

/** What the model says from now on. */
function answer(model: string, content: string, finish = 'stop'): Promise<void> {
  return upstream.script(model, [{ delta: { role: 'assistant', content } }, { finish }, { done: true }]);
}

const PREVIOUS_NOT_FOUND = { code: 'previous_response_not_found', param: 'previous_response_id' };

describe('previous_response_id', () => {
  for (const background of [false, true]) {
    test(`the whole chain is what the model gets, instructions are not (background: ${background})`, async () => {
      const model = `chain-${background}`;
      await answer(model, 'one');
      const first = await create(holt, { model, input: 'a', instructions: 'Be brief.', background });
      await pollUntil(holt, first.id);
      await answer(model, 'two');
      const second = await create(holt, { model, input: 'b', previous_response_id: first.id, background });
      await pollUntil(holt, second.id);
      await answer(model, 'three');
      const third = await create(holt, { model, input: 'c', previous_response_id: second.id, background });
      assert.equal(third.previous_response_id, second.id);
      const ended = await pollUntil(holt, third.id);
      assert.equal(textOf(ended), 'three');
      assert.equal(ended.previous_response_id, second.id);
      assert.equal(ended.instructions, null);
      assert.deepEqual(await messagesFor(model, 3), [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'one' },
        { role: 'user', content: 'b' },
        { role: 'assistant', content: 'two' },
        { role: 'user', content: 'c' },
      ]);
    });
  }

  test('a chain goes on with another model, and after a restart', async () => {
    const data = await temporaryDirectory();
    const flags = ['--upstream', upstream.url];
    const before = await startHolt({ flags, data });
    await answer('first-model', 'from the first');
    const first = await create(before, { model: 'first-model', input: 'a' });
    await before.stop();
    const later = await startHolt({ flags, data });
    try {
      await create(later, { model: 'second-model', input: 'b', previous_response_id: first.id });
      assert.deepEqual((await messagesFor('second-model')).slice(0, 2), [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'from the first' },
      ]);
    } finally {
      await later.stop();
    }
  });

  test('a chain goes on with another provider', async () => {
    const both = await startHolt({
      flags: ['--upstream', upstream.url],
      configure: (config) => {
        config.providers['demo'] = { kind: 'scripted' };
        config.models['otter'] = { provider: 'demo', compat: 'strict' };
      },
    });
    try {
      const story = await create(both, otter({ tokens: 5 }));
      const other = await create(both, { model: 'other-provider', input: 'Go on.', previous_response_id: story.id });
      const messages = await messagesFor('other-provider');
      assert.deepEqual(
        messages.map(({ role }) => role),
        ['user', 'assistant', 'user'],
      );
      assert.equal(messages[1]?.content, textOf(story));
      const back = await create(both, otter({ tokens: 5 }, { previous_response_id: other.id }));
      assert.equal(back.status, 'completed');
    } finally {
      await both.stop();
    }
  });

  test('the output of a tool follows the call in the chain', async () => {
    const model = 'tool-chain';
    const call = { index: 0, id: 'call_1', function: { name: 'weather', arguments: '{"city":"Ulm"}' } };
    await upstream.script(model, [{ delta: { tool_calls: [call] } }, { finish: 'tool_calls' }, { done: true }]);
    const tools = [{ type: 'function', name: 'weather', parameters: { type: 'object', properties: {} } }];
    const asked = await create(holt, { model, input: 'Weather in Ulm?', tools });
    const output = { type: 'function_call_output', call_id: 'call_1', output: 'sun' };
    const missing = await post(holt, { model, input: 'And?', tools, previous_response_id: asked.id });
    assertError(missing, 400, { param: 'input', message: 'No tool output found for function call call_1.' });
    await answer(model, 'Sunny.');
    const answered = await create(holt, { model, input: [output], tools, previous_response_id: asked.id });
    assert.equal(textOf(answered), 'Sunny.');
    const messages = await messagesFor(model, 2);
    assert.deepEqual(
      messages.map(({ role }) => role),
      ['user', 'assistant', 'tool'],
    );
    assert.equal(messages[2]?.content, 'sun');
  });

  test('a link that is unknown, unfinished, failed, cancelled or deleted is a 400 that names it', async () => {
    const otters = await startHolt();
    try {
      const unfinished = await create(otters, otter(SILENT, { background: true }));
      const cancelled = await create(otters, otter(SILENT, { background: true }));
      await cancel(otters, cancelled.id);
      const failed = await create(otters, otter({ fail_after: 3 }, { background: true }));
      assert.equal((await pollUntil(otters, failed.id)).status, 'failed');
      const deleted = await create(otters, otter());
      const child = await create(otters, otter({}, { previous_response_id: deleted.id }));
      assert.equal((await remove(otters, deleted.id)).status, 200);
      const unstored = await create(otters, otter({}, { store: false }));
      for (const id of ['resp_123', unfinished.id, cancelled.id, failed.id, deleted.id, child.id, unstored.id]) {
        for (const background of [false, true]) {
          const refused = await post(otters, otter({}, { previous_response_id: id, background }));
          assertError(refused, 400, {
            ...PREVIOUS_NOT_FOUND,
            message: `Previous response with id '${id}' not found.`,
          });
        }
      }
      await cancel(otters, unfinished.id);
    } finally {
      await otters.stop();
    }
  });

  test('an answer that was cut off can be built on', async () => {
    const model = 'cut-off';
    await answer(model, 'half an', 'length');
    const first = await create(holt, { model, input: 'a' });
    assert.equal(first.status, 'incomplete');
    await answer(model, ' answer');
    const second = await create(holt, { model, input: 'go on', previous_response_id: first.id });
    assert.equal(second.status, 'completed');
    assert.equal((await messagesFor(model, 2))[1]?.content, 'half an');
  });

  test('input_items shows every kind of item as the official description has it, however it was sent', async () => {
    const image = { type: 'input_image', image_url: 'https://example.com/a.png' };
    const file = { type: 'input_file', filename: 'a.txt', file_data: 'data:text/plain;base64,YQ==', file_url: null };
    const nothing = { id: null, status: null };
    const input = [
      { role: 'user', content: [image, { ...image, detail: null }, { ...file, file_id: null, detail: null }] },
      { role: 'user', content: [{ type: 'input_text', text: 'a', prompt_cache_breakpoint: null }], ...nothing },
      { role: 'assistant', content: 'b', phase: null },
      { type: 'reasoning', summary: [], content: null, encrypted_content: null, ...nothing },
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}', namespace: null, ...nothing },
      { type: 'function_call_output', call_id: 'c', output: [image], ...nothing },
      { type: 'custom_tool_call', call_id: 'd', name: 'g', input: 'x', namespace: null, ...nothing },
      { type: 'custom_tool_call_output', call_id: 'd', output: [{ ...image, detail: null }], ...nothing },
    ];
    const made = await create(holt, otter({ tokens: 1 }, { input }));
    const listed = await get(holt, `responses/${made.id}/input_items?order=asc`);
    assert.equal((JSON.parse(listed.text) as { data: unknown[] }).data.length, input.length);
    assert.ok(!listed.text.includes('null'), listed.text);
    assert.equal(listed.text.match(/"detail":"auto"/g)?.length, 4);
    const { id } = await holt.client.conversations.create({ items: input as never });
    assert.ok(!(await get(holt, `conversations/${id}/items`)).text.includes('null'));
  });

  test('a history of twenty megabytes can be gone on from', async () => {
    const input = 'x'.repeat(10_000_000);
    const first = await create(holt, otter({ tokens: 1 }, { input }));
    const second = await create(holt, otter({ tokens: 1 }, { input, previous_response_id: first.id }));
    const third = await create(holt, otter({ tokens: 1 }, { previous_response_id: second.id }));
    assert.equal(third.status, 'completed');
  });

  test('input_items shows a message with the phase and the marks that it came with', async () => {
    const mark = { mode: 'explicit' };
    const input = [
      { role: 'user', content: [{ type: 'input_text', text: 'a', prompt_cache_breakpoint: mark }] },
      { role: 'assistant', content: [{ type: 'output_text', text: 'b', annotations: [] }], phase: 'commentary' },
    ];
    const made = await create(holt, otter({ tokens: 1 }, { input }));
    const { data } = JSON.parse((await get(holt, `responses/${made.id}/input_items?order=asc`)).text) as {
      data: { phase?: string; content: { prompt_cache_breakpoint?: unknown }[] }[];
    };
    assert.deepEqual(data[0]?.content[0]?.prompt_cache_breakpoint, mark);
    assert.equal(data[1]?.phase, 'commentary');
  });

  test('input_items lists what the model was given, over a chain, in pages both ways', async () => {
    const first = await create(holt, { model: 'pages', input: 'a' });
    const second = await create(holt, {
      model: 'pages',
      input: Array.from({ length: 43 }, (_, index) => ({ role: 'user', content: `message ${index}` })),
      previous_response_id: first.id,
    });
    const list = async (order: 'asc' | 'desc'): Promise<OpenAI.Responses.ResponseItem[]> => {
      const items: OpenAI.Responses.ResponseItem[] = [];
      for await (const item of holt.client.responses.inputItems.list(second.id, { order, limit: 20 })) items.push(item);
      return items;
    };
    const ascending = await list('asc');
    assert.equal(ascending.length, 45);
    assert.deepEqual(await list('desc'), ascending.toReversed());
    assert.equal(ascending[1]?.id, first.output[0]?.id);
    const query = `limit=3&order=asc&before=${ascending[7]?.id}`;
    const page = JSON.parse((await get(holt, `responses/${second.id}/input_items?${query}`)).text) as {
      data: { id: string }[];
      has_more: boolean;
    };
    assert.deepEqual(
      page.data.map(({ id }) => id),
      ascending.slice(4, 7).map(({ id }) => id),
      'the page that ends there',
    );
    assert.equal(page.has_more, true);
    await remove(holt, first.id);
    assert.equal((await list('asc')).length, 43, 'what was deleted is not shown');
  });

  test('A14 with a conversation it is a 400', async () => {
    const body = { model: 'm', input: 'a', previous_response_id: 'resp_1', conversation: 'conv_1' };
    assertError(await post(holt, body), 400, { code: 'invalid_value', param: 'previous_response_id' });
  });
});

describe('item references', () => {
  test('an item of an earlier response, by its id alone', async () => {
    const model = 'references';
    await answer(model, 'the answer');
    const first = await create(holt, { model, input: 'the question' });
    const listed = await holt.client.responses.inputItems.list(first.id);
    const question = listed.data[0]?.id ?? '';
    const reply = first.output[0]?.id ?? '';
    await create(holt, {
      model,
      input: [{ type: 'item_reference', id: question }, { id: reply }, { role: 'user', content: 'Why?' }],
    });
    assert.deepEqual(await messagesFor(model, 2), [
      { role: 'user', content: 'the question' },
      { role: 'assistant', content: 'the answer' },
      { role: 'user', content: 'Why?' },
    ]);
  });

  test('to what the chain holds already, once', async () => {
    const model = 'reference-in-chain';
    const first = await create(holt, { model, input: 'a' });
    const reference = { type: 'item_reference', id: first.output[0]?.id };
    await create(holt, { model, input: [reference, { role: 'user', content: 'b' }], previous_response_id: first.id });
    assert.equal((await messagesFor(model, 2)).length, 3);
  });

  test('reasoning of which a client kept no more than the id', async () => {
    const model = 'bare-reasoning';
    const call = { index: 0, id: 'call_1', type: 'function', function: { name: 'look', arguments: '{}' } };
    await upstream.script(model, [
      { delta: { reasoning_content: 'I have to look.' } },
      { delta: { tool_calls: [call] } },
      { finish: 'tool_calls' },
      { done: true },
    ]);
    const tools = [{ type: 'function', name: 'look', parameters: {} }];
    const first = await create(holt, { model, input: 'a', tools });
    const [thoughts, called] = first.output;
    const output = { type: 'function_call_output', call_id: 'call_1', output: 'b' };
    const ask = (id: unknown): Promise<unknown> =>
      create(holt, { model, tools, input: [{ type: 'reasoning', id, summary: [] }, called, output] });
    await ask(thoughts?.id);
    const [assistant] = await messagesFor(model, 2);
    assert.equal(Reflect.get(assistant ?? {}, 'reasoning_content'), 'I have to look.');
    await ask('rs_of_another_server');
    const [without] = await messagesFor(model, 3);
    assert.equal(Reflect.get(without ?? {}, 'reasoning_content'), undefined);
  });

  test('to nothing is a 404 that names it', async () => {
    const unstored = await create(holt, { model: 'unstored', input: 'a', store: false });
    const deleted = await create(holt, { model: 'unstored', input: 'a' });
    await remove(holt, deleted.id);
    for (const id of ['msg_nothing', unstored.output[0]?.id, deleted.output[0]?.id]) {
      const refused = await post(holt, { model: 'unstored', input: [{ type: 'item_reference', id }] });
      assertError(refused, 404, { param: 'input', message: new RegExp(`Item with id '${id}' not found`) });
    }
  });
});

test('a queued response keeps what it was created with', async () => {
  const small = await startHolt({ configure: (config) => (config.worker.concurrency = 1) });
  try {
    const parent = await create(small, otter());
    const running = await create(small, otter(SILENT, { background: true }));
    const queued = await create(small, otter({}, { background: true, previous_response_id: parent.id }));
    assert.equal(queued.status, 'queued');
    await remove(small, parent.id);
    await cancel(small, running.id);
    assert.equal((await pollUntil(small, queued.id)).status, 'completed');
    assert.equal((await poll(small, queued.id)).previous_response_id, parent.id);
  } finally {
    await small.stop();
  }
});
