import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  Agent,
  MemorySession,
  ModelBehaviorError,
  OpenAIConversationsSession,
  OpenAIProvider,
  OpenAIResponsesCompactionSession,
  Runner,
  tool,
} from '@openai/agents';
import OpenAI from 'openai';
import { z } from 'zod';
import { PIXEL, ANIMAL, assertPaired, assertSeen, serve } from './served.ts';
import type { Served } from './served.ts';

/** OpenAI Agents SDK for Node, `@openai/agents`, over its Responses model. */

let served: Served;
let client: OpenAI;
let runner: Runner;
before(async () => {
  served = await serve();
  client = new OpenAI({ baseURL: served.baseURL, apiKey: 'test', maxRetries: 0 });
  runner = new Runner({ modelProvider: new OpenAIProvider({ openAIClient: client }), tracingDisabled: true });
});
after(() => served[Symbol.asyncDispose]());

/** A tool, and the cities that it was asked for. */
function thermometer() {
  const asked: string[] = [];
  const weather = tool({
    name: 'get_weather',
    description: 'The weather of a city.',
    parameters: z.object({ city: z.string() }),
    execute: ({ city }) => {
      asked.push(city);
      return '18 degrees';
    },
  });
  return { asked, weather };
}

test('a conversation of two turns in a session', async () => {
  const agent = new Agent({ name: 'Talker', instructions: 'Be brief.', model: 'talker' });
  const session = new MemorySession();
  const first = await runner.run(agent, 'My name is Ada.', { session });
  assert.equal(first.finalOutput, 'I heard: My name is Ada.');
  const { usage } = first.runContext;
  assert.deepEqual([usage.inputTokens, usage.outputTokens, usage.totalTokens], [30, 12, 42]);
  const second = await runner.run(agent, 'Who am I?', { session });
  assert.equal(second.finalOutput, 'I heard: My name is Ada. / Who am I?');
  assert.deepEqual(
    (await served.sentTo('talker')).at(-1)?.messages.map(({ role }) => role),
    ['system', 'user', 'assistant', 'user'],
  );
});

test('a conversation of two turns that Holt keeps, as a chain and as a session', async () => {
  const agent = new Agent({ name: 'Talker', model: 'talker' });
  const first = await runner.run(agent, 'My name is Bob.');
  const previousResponseId = first.lastResponseId;
  assert.ok(previousResponseId !== undefined);
  const second = await runner.run(agent, 'Who am I?', { previousResponseId });
  assert.equal(second.finalOutput, 'I heard: My name is Bob. / Who am I?');
  const session = new OpenAIConversationsSession({ client });
  await runner.run(agent, 'My name is Eve.', { session });
  const answer = await runner.run(agent, 'Who am I?', { session });
  assert.equal(answer.finalOutput, 'I heard: My name is Eve. / Who am I?');
  assert.equal((await session.getItems()).length, 4);
  await session.clearSession();
});

test('a session that is compacted goes on with what it held', async () => {
  const agent = new Agent({ name: 'Talker', model: 'gpt-4.1' });
  const session = new OpenAIResponsesCompactionSession({
    client,
    model: 'gpt-4.1',
    underlyingSession: new MemorySession(),
    shouldTriggerCompaction: () => true,
  });
  await runner.run(agent, 'My name is Ada.', { session });
  assert.deepEqual(
    (await session.getItems()).map(({ type }) => type),
    ['message', 'compaction'],
  );
  await runner.run(agent, 'Who am I?', { session });
  const [, compacting, last] = await served.sentTo('gpt-4.1');
  assert.equal(compacting?.messages.at(-2)?.content, 'I heard: My name is Ada.');
  // The SDK sends nothing that is older than the compaction, so the model has its own summary in its place.
  const [summary, question] = last?.messages ?? [];
  assert.match(String(summary?.content), /I heard: My name is Ada\. \//);
  assert.equal(question?.content, 'Who am I?');
});

test('a tool runs once in a conversation that Holt keeps', async () => {
  const conversation = await client.conversations.create();
  const { asked, weather } = thermometer();
  const agent = new Agent({ name: 'Caller', model: 'caller', tools: [weather] });
  const { finalOutput } = await runner.run(agent, 'Weather in Paris?', { conversationId: conversation.id });
  assert.deepEqual(asked, ['Paris']);
  assert.equal(finalOutput, 'The tool said: 18 degrees');
  assertPaired(await served.sentTo('caller'), '18 degrees');
});

test('a tool runs once, in a stream whose deltas are the final text', async () => {
  const { asked, weather } = thermometer();
  const agent = new Agent({ name: 'Caller', model: 'caller', tools: [weather] });
  const stream = await runner.run(agent, 'Weather in Paris?', { stream: true });
  let text = '';
  for await (const event of stream) {
    if (event.type === 'raw_model_stream_event' && event.data.type === 'output_text_delta') text += event.data.delta;
  }
  await stream.completed;
  assert.deepEqual(asked, ['Paris']);
  assert.equal(stream.finalOutput, 'The tool said: 18 degrees');
  assert.equal(text, stream.finalOutput);
  assert.equal(stream.runContext.usage.totalTokens, 84);
  assertPaired(await served.sentTo('caller'), '18 degrees');
});

test('a background stream is run to its end, and can be read afterwards', async () => {
  const modelSettings = { providerData: { background: true } };
  const agent = new Agent({ name: 'Background', model: 'talker', modelSettings });
  const stream = await runner.run(agent, 'Take your time.', { stream: true });
  await stream.completed;
  assert.equal(stream.finalOutput, 'I heard: Take your time.');
  const kept = await served.holt.client.responses.retrieve(stream.lastResponseId ?? '');
  assert.deepEqual([kept.background, kept.output_text], [true, stream.finalOutput]);
});

test('an image is shown to the model', async () => {
  const agent = new Agent({ name: 'Seer', model: 'seer' });
  const { finalOutput } = await runner.run(agent, [
    {
      role: 'user',
      content: [
        { type: 'input_text', text: 'What is this?' },
        { type: 'input_image', image: PIXEL },
      ],
    },
  ]);
  assert.equal(finalOutput, 'I heard: What is this?');
  assertSeen(await served.sentTo('seer'));
});

test('an image from a tool is shown to the model', async () => {
  const camera = tool({
    name: 'get_weather',
    description: 'Looks out of the window.',
    parameters: z.object({ city: z.string() }),
    execute: () => ({ type: 'image' as const, image: PIXEL }),
  });
  const agent = new Agent({ name: 'Watcher', model: 'watcher', tools: [camera] });
  const { finalOutput } = await runner.run(agent, 'Weather in Paris?');
  assert.match(String(finalOutput), /^The tool said: /);
  const requests = await served.sentTo('watcher');
  assertSeen(requests.slice(-1));
  assert.equal(requests.length, 2);
});

test('an output type is asked for as a JSON schema and parsed', async () => {
  const outputType = z.object({ name: z.string(), legs: z.number() });
  const agent = new Agent({ name: 'Writer', model: 'writer', outputType });
  const { finalOutput } = await runner.run(agent, 'An animal.');
  assert.deepEqual(finalOutput, ANIMAL);
  assert.equal((await served.sentTo('writer'))[0]?.response_format?.type, 'json_schema');
});

test('a refused request and a run that fails are errors of the client', async () => {
  const busy = new Agent({ name: 'Busy', model: 'busy' });
  await assert.rejects(runner.run(busy, 'Now!'), OpenAI.RateLimitError);
  const dying = new Agent({ name: 'Dying', model: 'dying' });
  await assert.rejects(runner.run(dying, 'Say it.'), ModelBehaviorError);
  const stream = await runner.run(dying, 'Say it.', { stream: true });
  await assert.rejects(stream.completed, ModelBehaviorError);
});
