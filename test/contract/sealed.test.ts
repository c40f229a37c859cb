import assert from 'node:assert/strict';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type OpenAI from 'openai';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { assertError, create, get, pollUntil, post } from './wire.ts';

/** Encrypted content: thoughts that clients carry, and compactions. */

const SECRET = 'a secret of sixteen or more';
let upstream: Upstream;
let holt: TestHolt;
before(async () => {
  upstream = await startUpstream();
  holt = await startHolt({ flags: ['--upstream', upstream.url], env: { HOLT_SECRET: SECRET } });
});
after(async () => {
  await holt.stop();
  await upstream.stop();
});

type Reasoning = OpenAI.Responses.ResponseReasoningItem;
const tools = [{ type: 'function', name: 'look', parameters: { type: 'object', properties: {} } }];
const INCLUDE = ['reasoning.encrypted_content'];

/** The model thinks, then calls a tool: the turn in which its thoughts are wanted back. */
async function thinkAndCall(model: string, server: TestHolt = holt, over: object = {}): Promise<Reasoning[]> {
  await upstream.script(model, [
    { delta: { reasoning_content: 'I should ' } },
    { delta: { reasoning_content: 'look.' } },
    { delta: { tool_calls: [{ index: 0, id: 'call_1', function: { name: 'look', arguments: '{}' } }] } },
    { finish: 'tool_calls' },
    { done: true },
  ]);
  const response = await create(server, { model, input: 'Where?', tools, store: false, include: INCLUDE, ...over });
  await upstream.script(model, [{ delta: { content: 'There.' } }, { finish: 'stop' }, { done: true }]);
  return response.output.filter((item) => item.type === 'reasoning');
}

/** The thoughts that the model got back with its second request. */
async function goOn(model: string, reasoning: object, server: TestHolt = holt): Promise<unknown> {
  const input = [
    { role: 'user', content: 'Where?' },
    reasoning,
    { type: 'function_call', call_id: 'call_1', name: 'look', arguments: '{}' },
    { type: 'function_call_output', call_id: 'call_1', output: 'here' },
  ];
  const answer = await post(server, { model, input, tools, store: false });
  assert.equal(answer.status, 200, answer.text);
  const requests = await upstream.requests(model);
  const sent = requests.at(-1)?.body as { messages: { role: string; reasoning_content?: string }[] } | undefined;
  return sent?.messages.find(({ role }) => role === 'assistant')?.reasoning_content;
}

describe('encrypted reasoning', () => {
  test('comes when it is asked for, can not be read, and comes back as it was', async () => {
    const model = 'thinker';
    const [item] = await thinkAndCall(model);
    const sealed = item?.encrypted_content ?? '';
    assert.notEqual(sealed, '');
    assert.ok(!Buffer.from(sealed, 'base64url').toString('latin1').includes('look'));
    const carried = { type: 'reasoning', id: item?.id, summary: [], encrypted_content: sealed };
    assert.equal(await goOn(model, carried), 'I should look.');
    const [plain] = await thinkAndCall(model, holt, { include: [] });
    assert.equal(plain?.encrypted_content, undefined);
  });

  test('is in the finished item of a stream, live and replayed, and only there', async () => {
    const model = 'streaming-thinker';
    await thinkAndCall(model);
    await upstream.script(model, [
      { delta: { reasoning_content: 'Hm.' } },
      { delta: { content: 'So.' } },
      { finish: 'stop' },
      { done: true },
    ]);
    const body = { model, input: 'Think.', stream: true as const, include: INCLUDE as ['reasoning.encrypted_content'] };
    for (const background of [false, true]) {
      const events: OpenAI.Responses.ResponseStreamEvent[] = [];
      for await (const event of await holt.client.responses.create({ ...body, background })) events.push(event);
      const added = events.find((event) => event.type === 'response.output_item.added');
      const done = events.find((event) => event.type === 'response.output_item.done');
      const end = events.at(-1);
      assert.ok(added?.item.type === 'reasoning' && done?.item.type === 'reasoning');
      assert.ok(end?.type === 'response.completed');
      assert.equal(added.item.encrypted_content, undefined);
      assert.ok(done.item.encrypted_content);
      assert.deepEqual(end.response.output[0], done.item);
      if (!background) continue;
      const replay: OpenAI.Responses.ResponseStreamEvent[] = [];
      const stream = await holt.client.responses.retrieve(end.response.id, { stream: true });
      for await (const event of stream) replay.push(event);
      assert.deepEqual(replay, events);
    }
  });

  test('what can not be opened is ignored', async () => {
    const model = 'distrusted';
    const [item] = await thinkAndCall(model);
    const sealed = item?.encrypted_content ?? '';
    const bytes = Buffer.from(sealed, 'base64url');
    for (let at = 0; at < bytes.length; at += 7) {
      const torn = Buffer.from(bytes);
      torn[at] = (torn[at] ?? 0) ^ 1;
      const encrypted_content = torn.toString('base64url');
      assert.equal(await goOn(model, { type: 'reasoning', summary: [], encrypted_content }), undefined, `byte ${at}`);
    }
    for (const encrypted_content of ['', 'nonsense', 'gAAAA', sealed.slice(0, 40), sealed.slice(1)]) {
      assert.equal(await goOn(model, { type: 'reasoning', summary: [], encrypted_content }), undefined);
    }
  });

  test('a new secret opens what the old one sealed as long as both are given', async () => {
    const model = 'rotated';
    const [item] = await thinkAndCall(model);
    const carried = { type: 'reasoning', summary: [], encrypted_content: item?.encrypted_content };
    for (const [secret, opened] of [
      [`another secret of the house, ${SECRET}`, 'I should look.'],
      ['another secret of the house', undefined],
    ] as const) {
      const later = await startHolt({ flags: ['--upstream', upstream.url], env: { HOLT_SECRET: secret } });
      try {
        assert.equal(await goOn(model, carried, later), opened);
      } finally {
        await later.stop();
      }
    }
  });

  test('without a secret the data directory has its own, which nobody else may read', async () => {
    const data = await temporaryDirectory();
    const model = 'own-secret';
    const first = await startHolt({ flags: ['--upstream', upstream.url], data });
    const [item] = await thinkAndCall(model, first);
    await first.stop();
    assert.equal((await stat(join(data, 'secret'))).mode & 0o777, 0o600);
    const second = await startHolt({ flags: ['--upstream', upstream.url], data });
    try {
      const carried = { type: 'reasoning', summary: [], encrypted_content: item?.encrypted_content };
      assert.equal(await goOn(model, carried, second), 'I should look.');
    } finally {
      await second.stop();
    }
  });

  test('a damaged file with the secret stops the start, and names it', async () => {
    const data = await temporaryDirectory();
    await (await startHolt({ data })).stop();
    for (const damaged of ['', 'abc']) {
      await writeFile(join(data, 'secret'), damaged);
      await assert.rejects(startHolt({ data }), /secret is damaged/);
    }
  });

  test('a short secret stops the start', async () => {
    await assert.rejects(startHolt({ env: { HOLT_SECRET: 'short' } }), /HOLT_SECRET: each secret needs at least 16/);
  });

  test('of a stored response it is not to be had afterwards', async () => {
    const { id } = await create(holt, { model: 'stored', input: 'a' });
    assertError(await get(holt, `responses/${id}?include[]=reasoning.encrypted_content`), 400, { param: 'include' });
  });
});

describe('compaction', () => {
  const conversation = [
    { role: 'user', content: 'My name is Ada.' },
    { role: 'assistant', content: 'Hello Ada.' },
    { role: 'user', content: [{ type: 'input_text', text: 'Remember 42.' }] },
  ];

  async function compactedBy(model: string, summary: string): Promise<OpenAI.Responses.CompactedResponse> {
    await upstream.script(model, [
      { delta: { role: 'assistant', content: summary } },
      { finish: 'stop', usage: { prompt_tokens: 30, completion_tokens: 5, total_tokens: 35 } },
      { done: true },
    ]);
    return holt.client.responses.compact({ model, input: conversation as OpenAI.Responses.ResponseInput });
  }

  test('the model writes it, the user’s messages stay, and it can be gone on with', async () => {
    const model = 'compactor';
    const compacted = await compactedBy(model, 'Ada, 42.');
    assert.equal(compacted.object, 'response.compaction');
    assert.ok(Number.isInteger(compacted.created_at));
    assert.deepEqual([compacted.usage.input_tokens, compacted.usage.output_tokens], [30, 5]);
    assert.deepEqual(
      compacted.output.map((item) => item.type),
      ['message', 'message', 'compaction'],
    );
    assert.equal((await get(holt, `responses/${compacted.id}`)).status, 404, 'nothing is stored');
    const asked = (await upstream.waitForRequest(model)).body as { messages: { role: string; content: string }[] };
    assert.match(asked.messages[0]?.content ?? '', /handover/);
    assert.equal(asked.messages[2]?.content, 'Hello Ada.');

    const next = await create(holt, { model, input: [...compacted.output, { role: 'user', content: 'Who am I?' }] });
    const request = (await upstream.waitForRequest(model, 2)).body as { messages: { content: string }[] };
    assert.deepEqual(
      request.messages.map(({ content }) => content),
      ['My name is Ada.', 'Remember 42.', 'Summary of the conversation so far:\n\nAda, 42.', 'Who am I?'],
    );
    const listed = await holt.client.responses.inputItems.list(next.id, { order: 'asc' });
    assert.equal(listed.data[2]?.type, 'compaction');
  });

  test('one in the queue, and one in a chain, still know what it holds', async () => {
    const model = 'chained-compactor';
    const compacted = await compactedBy(model, 'Ada, 42.');
    const first = await create(holt, { model, input: compacted.output, background: true });
    await pollUntil(holt, first.id);
    const again = await create(holt, { model, input: 'And?', previous_response_id: first.id });
    assert.equal(again.status, 'completed');
    const request = (await upstream.waitForRequest(model, 3)).body as { messages: { content: string }[] };
    assert.match(request.messages[2]?.content ?? '', /Ada, 42\./);
  });

  test('one that was not made here is a 400 that names it', async () => {
    for (const background of [false, true]) {
      const input = [
        { role: 'user', content: 'a' },
        { type: 'compaction', encrypted_content: 'nonsense' },
      ];
      const refused = await post(holt, { model: 'm', input, background });
      assertError(refused, 400, { param: 'input[1].encrypted_content', code: 'invalid_encrypted_content' });
    }
  });

  test('of a chain, by its last response', async () => {
    const model = 'chain-compactor';
    const first = await create(holt, { model, input: 'My name is Ada.' });
    const compacted = await holt.client.responses.compact({ model, previous_response_id: first.id });
    assert.deepEqual(
      compacted.output.map((item) => item.type),
      ['message', 'compaction'],
    );
  });

  test('bad requests are refused', async () => {
    const compact = (body: object): ReturnType<typeof post> => post(holt, body, {}, 'responses/compact');
    assertError(await compact({ input: 'a' }), 400, { code: 'missing_required_parameter', param: 'model' });
    assertError(await compact({ model: 'm' }), 400, { code: 'missing_required_parameter', param: 'input' });
    assertError(await compact({ model: 'm', input: 7 }), 400, { param: 'input' });
    assertError(await compact({ model: 'm', previous_response_id: 'resp_1' }), 400, {
      code: 'previous_response_not_found',
    });
    await upstream.script('broken-compactor', { reply: { status: 400, body: { error: { message: 'no' } } } });
    assertError(await compact({ model: 'broken-compactor', input: 'a' }), 400, {});
  });
});
