import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { HumanMessage } from '@langchain/core/messages';
import type { AIMessageChunk, BaseMessage, ToolMessage, UsageMetadata } from '@langchain/core/messages';
import type { ToolCall } from '@langchain/core/messages/tool';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { RateLimitError } from 'openai';
import { z } from 'zod';
import { PIXEL, ANIMAL, assertPaired, assertSeen, serve } from './served.ts';
import type { Served } from './served.ts';

/**
 * LangChain for JavaScript, `@langchain/openai` with `useResponsesApi`. Its streams pass over `response.failed`, so a run
 * that fails is an error of `invoke` only.
 */

let served: Served;
before(async () => {
  served = await serve();
});
after(() => served[Symbol.asyncDispose]());

function chat(model: string, modelKwargs: Record<string, unknown> = {}): ChatOpenAI {
  const configuration = { baseURL: served.baseURL };
  return new ChatOpenAI({ model, apiKey: 'test', configuration, useResponsesApi: true, maxRetries: 0, modelKwargs });
}

/** The type of the field comes out as never where nothing says what the message is made of. */
function usageOf(message: AIMessageChunk): UsageMetadata | undefined {
  return message.usage_metadata;
}

test('a conversation of two turns', async () => {
  const messages: BaseMessage[] = [new HumanMessage('My name is Ada.')];
  const first = await chat('talker').invoke(messages);
  assert.equal(first.text, 'I heard: My name is Ada.');
  const usage = usageOf(first);
  assert.deepEqual([usage?.input_tokens, usage?.output_tokens, usage?.total_tokens], [30, 12, 42]);
  messages.push(first, new HumanMessage('Who am I?'));
  assert.equal((await chat('talker').invoke(messages)).text, 'I heard: My name is Ada. / Who am I?');
  assert.deepEqual(
    (await served.sentTo('talker')).at(-1)?.messages.map(({ role }) => role),
    ['user', 'assistant', 'user'],
  );
});

test('a conversation of two turns that Holt keeps', async () => {
  const first = await chat('talker').invoke('My name is Bob.');
  const second = await chat('talker').invoke('Who am I?', {
    previous_response_id: String(first.response_metadata['id']),
  });
  assert.equal(second.text, 'I heard: My name is Bob. / Who am I?');
});

test('a tool runs once, in streams whose deltas are the final text', async () => {
  const asked: string[] = [];
  const weather = tool(
    ({ city }) => {
      asked.push(city);
      return '18 degrees';
    },
    { name: 'get_weather', description: 'The weather of a city.', schema: z.object({ city: z.string() }) },
  );
  const caller = chat('caller').bindTools([weather]);
  const messages: BaseMessage[] = [new HumanMessage('Weather in Paris?')];
  const call = await lastOf(await caller.stream(messages));
  messages.push(call.message);
  for (const wanted of call.message.tool_calls ?? [])
    messages.push(await weather.invoke<ToolCall, ToolMessage>(wanted));
  assert.deepEqual(asked, ['Paris']);
  const answer = await lastOf(await caller.stream(messages));
  assert.equal(answer.message.text, 'The tool said: 18 degrees');
  assert.ok(answer.pieces.filter((piece) => piece !== '').length > 1);
  assert.equal(answer.pieces.join(''), answer.message.text);
  assert.equal(usageOf(answer.message)?.total_tokens, 42);
  assertPaired(await served.sentTo('caller'), '18 degrees');
});

type Streamed = { message: AIMessageChunk; pieces: string[] };

/** The chunks of a stream put together, as LangChain does it. */
async function lastOf(stream: AsyncIterable<AIMessageChunk>): Promise<Streamed> {
  let message: AIMessageChunk | undefined;
  const pieces: string[] = [];
  for await (const chunk of stream) {
    pieces.push(chunk.text);
    message = message === undefined ? chunk : message.concat(chunk);
  }
  assert.ok(message !== undefined);
  return { message, pieces };
}

test('a background stream is read to its end, and can be read afterwards', async () => {
  const { message } = await lastOf(await chat('talker', { background: true }).stream('Take your time.'));
  assert.equal(message.text, 'I heard: Take your time.');
  const kept = await served.holt.client.responses.retrieve(String(message.response_metadata['id']));
  assert.deepEqual([kept.background, kept.output_text], [true, message.text]);
});

test('an image is shown to the model', async () => {
  const message = new HumanMessage({
    content: [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: PIXEL } },
    ],
  });
  assert.equal((await chat('seer').invoke([message])).text, 'I heard: What is this?');
  assertSeen(await served.sentTo('seer'));
});

test('a structured output is asked for as a JSON schema and parsed', async () => {
  const schema = z.object({ name: z.string(), legs: z.number() });
  const writer = chat('writer').withStructuredOutput(schema, { name: 'animal', method: 'jsonSchema' });
  assert.deepEqual(await writer.invoke('An animal.'), ANIMAL);
  assert.equal((await served.sentTo('writer'))[0]?.response_format?.type, 'json_schema');
});

test('a refused request and a run that fails are errors of the client', async () => {
  await assert.rejects(chat('busy').invoke('Now!'), (error) => error instanceof RateLimitError);
  await assert.rejects(chat('dying').invoke('Say it.'), { name: 'server_error' });
});
