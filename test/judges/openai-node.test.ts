import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { PIXEL, ANIMAL, assertPaired, assertSeen, serve } from './served.ts';
import type { Served } from './served.ts';

/** `openai` for Node as it comes from its package: raw calls and its `stream()` helper. */

let served: Served;
let client: OpenAI;
before(async () => {
  served = await serve();
  client = new OpenAI({ baseURL: served.baseURL, apiKey: 'test' });
});
after(() => served[Symbol.asyncDispose]());

const QUESTION = { role: 'user', content: 'Who am I?' } as const;
const weather = zodResponsesFunction({ name: 'get_weather', parameters: z.object({ city: z.string() }) });

test('a conversation of two turns, carried by the client', async () => {
  const first = await client.responses.create({ model: 'talker', input: 'My name is Ada.' });
  assert.equal(first.output_text, 'I heard: My name is Ada.');
  assert.deepEqual([first.usage?.input_tokens, first.usage?.output_tokens, first.usage?.total_tokens], [30, 12, 42]);
  const second = await client.responses.create({
    model: 'talker',
    input: [
      { role: 'user', content: 'My name is Ada.' },
      ...first.output.filter((item) => item.type === 'message'),
      QUESTION,
    ],
  });
  assert.equal(second.output_text, 'I heard: My name is Ada. / Who am I?');
  assert.deepEqual(
    (await served.sentTo('talker')).at(-1)?.messages.map(({ role }) => role),
    ['user', 'assistant', 'user'],
  );
});

test('a conversation of two turns, carried by Holt', async () => {
  const first = await client.responses.create({ model: 'talker', input: 'My name is Bob.' });
  const next = { model: 'talker', input: 'Who am I?' };
  const second = await client.responses.create({ ...next, previous_response_id: first.id });
  assert.equal(second.output_text, 'I heard: My name is Bob. / Who am I?');
  const conversation = await client.conversations.create();
  await client.responses.create({ model: 'talker', input: 'My name is Eve.', conversation: conversation.id });
  const answer = await client.responses.create({ ...next, conversation: conversation.id });
  assert.equal(answer.output_text, 'I heard: My name is Eve. / Who am I?');
  const roles: string[] = [];
  for await (const item of client.conversations.items.list(conversation.id, { order: 'asc', limit: 3 })) {
    roles.push(item.type === 'message' ? item.role : item.type);
  }
  assert.deepEqual(roles, ['user', 'assistant', 'user', 'assistant']);
});

test('a conversation is counted and compacted', async () => {
  const model = 'talker';
  const first = await client.responses.create({ model, input: 'My name is Kim.' });
  const chained = { model, previous_response_id: first.id };
  const { input_tokens: counted } = await client.responses.inputTokens.count({ ...chained, input: 'Who am I?' });
  const { input_tokens: alone } = await client.responses.inputTokens.count({ model, input: 'Who am I?' });
  assert.ok(counted > alone && alone > 0);
  const compacted = await client.responses.compact(chained);
  assert.equal(compacted.usage.total_tokens, 42);
  const input = compacted.output.flatMap((item) => (item.type === 'compaction' ? [item] : []));
  const { output_text: text } = await client.responses.create({ model, input: [...input, QUESTION] });
  assert.match(text, /Who am I\?$/);
  assert.match(JSON.stringify((await served.sentTo(model)).at(-1)), /I heard: My name is Kim\./);
});

test('a tool is called, run once and answered, in streams of the helper', async () => {
  const asked = client.responses.stream({ model: 'caller', input: 'Weather in Paris?', tools: [weather] });
  let said = '';
  asked.on('response.function_call_arguments.delta', ({ delta }) => (said += delta));
  const { output } = await asked.finalResponse();
  const [call] = output.filter((item) => item.type === 'function_call');
  const [thoughts] = output.filter((item) => item.type === 'reasoning');
  assert.ok(call !== undefined && thoughts !== undefined && output.length === 2);
  assert.equal(said, call.arguments);
  assert.deepEqual(call.parsed_arguments, { city: 'Paris' });
  const answered = client.responses.stream({
    model: 'caller',
    input: [
      { role: 'user', content: 'Weather in Paris?' },
      thoughts,
      { type: 'function_call', call_id: call.call_id, name: call.name, arguments: call.arguments },
      { type: 'function_call_output', call_id: call.call_id, output: '18 degrees' },
    ],
    tools: [weather],
  });
  let deltas = '';
  answered.on('response.output_text.delta', ({ delta }) => (deltas += delta));
  const final = await answered.finalResponse();
  assert.equal(final.output_text, 'The tool said: 18 degrees');
  assert.equal(deltas, final.output_text);
  assertPaired(await served.sentTo('caller'), '18 degrees');
});

test('a background stream that breaks off is resumed while it runs', async () => {
  const stream = await client.responses.create({ model: 'waiter', input: 'Slowly!', background: true, stream: true });
  let id = '';
  let cursor = -1;
  let text = '';
  for await (const event of stream) {
    cursor = event.sequence_number;
    if (event.type === 'response.created') id = event.response.id;
    if (event.type !== 'response.output_text.delta') continue;
    text += event.delta;
    break;
  }
  assert.equal((await client.responses.retrieve(id)).status, 'in_progress');
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: cursor });
  await served.upstream.release('half');
  let status: string | undefined;
  for await (const event of rest) {
    cursor += 1;
    assert.equal(event.sequence_number, cursor);
    if (event.type === 'response.output_text.delta') text += event.delta;
    if (event.type === 'response.completed') status = event.response.status;
  }
  assert.equal(status, 'completed');
  assert.equal(text, 'I heard: Slowly!');
  const whole = client.responses.stream({ response_id: id });
  assert.equal((await whole.finalResponse()).output_text, text);
  assert.equal((await client.responses.retrieve(id)).output_text, text);
});

test('an image is shown to the model', async () => {
  const { output_text: text } = await client.responses.create({
    model: 'seer',
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'What is this?' },
          { type: 'input_image', image_url: PIXEL, detail: 'low' },
        ],
      },
    ],
  });
  assert.equal(text, 'I heard: What is this?');
  assertSeen(await served.sentTo('seer'));
});

test('a JSON schema is answered as a parsed object', async () => {
  const format = zodTextFormat(z.object({ name: z.string(), legs: z.number() }), 'animal');
  const made = await client.responses.parse({ model: 'writer', input: 'An animal.', text: { format } });
  assert.deepEqual(made.output_parsed, ANIMAL);
  assert.equal((await served.sentTo('writer'))[0]?.response_format?.type, 'json_schema');
});

test('errors are of the client’s classes, and a run that fails ends its stream as failed', async () => {
  const busy = client.responses.create({ model: 'busy', input: 'Now!' }, { maxRetries: 0 });
  await assert.rejects(busy, OpenAI.RateLimitError);
  const broken = client.responses.create({ model: 'talker', input: 'Hm.', temperature: 3 });
  await assert.rejects(broken, (error) => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
  const failed = await client.responses.stream({ model: 'dying', input: 'Say it.' }).finalResponse();
  assert.deepEqual([failed.status, failed.error?.code], ['failed', 'server_error']);
  assert.equal(failed.output_text, 'I was about to');
});
