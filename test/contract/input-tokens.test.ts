import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type OpenAI from 'openai';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { SILENT, assertError, cancel, create, otter, post } from './wire.ts';

/** `POST /v1/responses/input_tokens`. */

let holt: TestHolt;
before(async () => {
  holt = await startHolt();
});
after(() => holt.stop());

async function count(body: OpenAI.Responses.InputTokenCountParams): Promise<number> {
  const counted = await holt.client.responses.inputTokens.count(body);
  assert.equal(counted.object, 'response.input_tokens');
  assert.ok(Number.isInteger(counted.input_tokens));
  return counted.input_tokens;
}

test('a known model is counted by its tokenizer, with what a chat template adds', async () => {
  // Three around a message, one for its role, three before the answer.
  assert.equal(await count({ model: 'gpt-4o', input: 'hello world' }), 2 + 3 + 1 + 3);
  assert.equal(await count({ model: 'openai/gpt-4o-mini', input: 'hello world' }), 2 + 3 + 1 + 3);
  assert.equal(await count({ model: 'gpt-4', input: 'hello world' }), 2 + 3 + 1 + 3);
});

test('an unknown one is estimated: a token for four bytes', async () => {
  assert.equal(await count({ model: 'qwen', input: 'x'.repeat(400) }), 100 + 3 + 1 + 3);
});

test('instructions, tools, formats, images and tool calls count', async () => {
  const input = 'hello';
  const plain = await count({ model: 'qwen', input });
  const tool = { type: 'function', name: 'look', parameters: { type: 'object' }, strict: true } as const;
  const schema = { type: 'object', properties: { a: { type: 'string' } } };
  const image = { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'low' } as const;
  const more: OpenAI.Responses.InputTokenCountParams[] = [
    { input, instructions: 'Be brief.' },
    { input, tools: [tool] },
    { input: [{ role: 'user', content: [{ type: 'input_text', text: input }, image] }] },
    {
      input: [
        { role: 'user', content: input },
        { type: 'function_call', call_id: 'c', name: 'look', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c', output: 'a long output of a tool' },
      ],
    },
  ];
  for (const body of more) assert.ok((await count({ model: 'qwen', ...body })) > plain, JSON.stringify(body));
  // The demonstration model has no formats; the upstream of this one is not asked.
  await using relay = await startHolt({ flags: ['--upstream', 'http://127.0.0.1:9/v1'] });
  const text = { format: { type: 'json_schema', name: 'n', schema } } as const;
  const counted = await relay.client.responses.inputTokens.count({ model: 'qwen', input, text });
  assert.ok(counted.input_tokens > plain);
});

test('what came before counts, also while somebody holds the conversation', async () => {
  const first = await create(holt, otter({ tokens: 100 }));
  assert.ok((await count({ model: 'otter', input: 'more', previous_response_id: first.id })) > 50);
  const { id } = await holt.client.conversations.create({ items: [{ role: 'user', content: 'x'.repeat(400) }] });
  const holder = await create(holt, otter(SILENT, { background: true, conversation: id }));
  assert.ok((await count({ model: 'otter', conversation: id })) >= 100);
  await cancel(holt, holder.id);
});

test('a very long text without a space is counted, and others are served meanwhile', async () => {
  const counted = count({ model: 'gpt-4o', input: 'ab'.repeat(1_000_000) });
  const meanwhile = await create(holt, otter());
  assert.equal(meanwhile.status, 'completed');
  assert.ok((await counted) > 100_000);
});

test('a bad request is refused', async () => {
  const ask = (body: object): ReturnType<typeof post> => post(holt, body, {}, 'responses/input_tokens');
  assertError(await ask({ input: 'a' }), 400, { param: 'model', code: 'missing_required_parameter' });
  assertError(await ask({ model: 'm', input: 7 }), 400, { param: 'input' });
  assertError(await ask({ model: 'm', messages: [] }), 400, { param: 'messages', code: 'unknown_parameter' });
  assertError(await ask({ model: 'm', previous_response_id: 'resp_1' }), 400, { code: 'previous_response_not_found' });
});
