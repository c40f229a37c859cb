import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createOpenAI } from '@ai-sdk/openai';
import type { OpenAILanguageModelResponsesOptions, OpenAIProvider } from '@ai-sdk/openai';
import { APICallError, Output, StreamProviderError, generateText, isStepCount, streamText, tool } from 'ai';
import type { ModelMessage } from 'ai';
import { z } from 'zod';
import { PIXEL, ANIMAL, assertPaired, assertSeen, serve } from './served.ts';
import type { Served } from './served.ts';

/** AI SDK, `ai` with `@ai-sdk/openai`: its models speak the Responses API by default. */

let served: Served;
let openai: OpenAIProvider;
before(async () => {
  served = await serve();
  openai = createOpenAI({ baseURL: served.baseURL, apiKey: 'test' });
});
after(() => served[Symbol.asyncDispose]());

/** The SDK sends the history whole; for models that reason, it asks for their thoughts to take along, encrypted. */
const stateless = { openai: { store: false, forceReasoning: true } satisfies OpenAILanguageModelResponsesOptions };

test('a conversation of two turns', async () => {
  const messages: ModelMessage[] = [{ role: 'user', content: 'My name is Ada.' }];
  const first = await generateText({ model: openai('talker'), messages, providerOptions: stateless });
  assert.equal(first.text, 'I heard: My name is Ada.');
  assert.deepEqual([first.usage.inputTokens, first.usage.outputTokens, first.usage.totalTokens], [30, 12, 42]);
  messages.push(...first.response.messages, { role: 'user', content: 'Who am I?' });
  const second = await generateText({ model: openai('talker'), messages, providerOptions: stateless });
  assert.equal(second.text, 'I heard: My name is Ada. / Who am I?');
  assert.deepEqual(
    (await served.sentTo('talker')).at(-1)?.messages.map(({ role }) => role),
    ['user', 'assistant', 'user'],
  );
});

test('a conversation of two turns that Holt keeps: item references, a chain, a conversation', async () => {
  const model = openai('talker');
  const told = { role: 'user', content: 'My name is Bob.' } as const;
  const question = { role: 'user', content: 'Who am I?' } as const;
  const first = await generateText({ model, messages: [told] });
  const referring = await generateText({
    model,
    messages: [told, ...first.response.messages, question],
    include: { requestBody: true },
  });
  assert.ok(JSON.stringify(referring.request.body).includes('"item_reference"'));
  const { id: conversation } = await served.holt.client.conversations.create();
  const inIt = { openai: { conversation } satisfies OpenAILanguageModelResponsesOptions };
  await generateText({ model, messages: [told], providerOptions: inIt });
  const previousResponseId = first.finalStep.response.id;
  const chained = { openai: { previousResponseId } satisfies OpenAILanguageModelResponsesOptions };
  for (const answer of [
    referring,
    await generateText({ model, messages: [question], providerOptions: chained }),
    await generateText({ model, messages: [question], providerOptions: inIt }),
  ]) {
    assert.equal(answer.text, 'I heard: My name is Bob. / Who am I?');
  }
  assert.deepEqual(
    (await served.sentTo('talker')).slice(-2).map(({ messages }) => messages.map(({ role }) => role)),
    [
      ['user', 'assistant', 'user'],
      ['user', 'assistant', 'user'],
    ],
  );
});

for (const [kept, providerOptions] of [
  ['sent whole', stateless],
  ['kept by Holt', {}],
] as const) {
  test(`a tool runs once, in a stream whose deltas are the final text, with a history ${kept}`, async () => {
    const asked: string[] = [];
    const weather = tool({
      inputSchema: z.object({ city: z.string() }),
      execute: ({ city }) => {
        asked.push(city);
        return '18 degrees';
      },
    });
    const result = streamText({
      model: openai('caller'),
      prompt: 'Weather in Paris?',
      tools: { get_weather: weather },
      stopWhen: isStepCount(3),
      providerOptions,
    });
    let text = '';
    for await (const delta of result.textStream) text += delta;
    assert.deepEqual(asked, ['Paris']);
    assert.equal(await result.text, 'The tool said: 18 degrees');
    assert.equal(text, await result.text);
    assert.equal(await result.finishReason, 'stop');
    assert.equal((await result.totalUsage).totalTokens, 84);
    assertPaired(await served.sentTo('caller'), '18 degrees');
  });
}

test('an image is shown to the model', async () => {
  const { text } = await generateText({
    model: openai('seer'),
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is this?' },
          { type: 'file', data: PIXEL, mediaType: 'image/png' },
        ],
      },
    ],
  });
  assert.equal(text, 'I heard: What is this?');
  assertSeen(await served.sentTo('seer'));
});

test('an image from a tool is shown to the model', async () => {
  const camera = tool({
    inputSchema: z.object({ city: z.string() }),
    execute: () => PIXEL,
    toModelOutput: ({ output }) => ({
      type: 'content',
      value: [
        { type: 'file', mediaType: 'image/png', data: { type: 'data', data: output.slice(output.indexOf(',') + 1) } },
      ],
    }),
  });
  const { text } = await generateText({
    model: openai('watcher'),
    prompt: 'Weather in Paris?',
    tools: { get_weather: camera },
    stopWhen: isStepCount(3),
  });
  assert.match(text, /^The tool said: /);
  const requests = await served.sentTo('watcher');
  assertSeen(requests.slice(-1));
  assert.equal(requests.length, 2);
});

test('a custom tool gets its input as it was written', async () => {
  const written: unknown[] = [];
  const note = openai.tools.customTool({ description: 'Notes a text.', format: { type: 'text' } });
  const { text } = await generateText({
    model: openai('scribe'),
    prompt: 'Note it.',
    tools: {
      note: {
        ...note,
        execute: (input: string) => {
          written.push(input);
          return 'noted';
        },
      },
    },
    stopWhen: isStepCount(3),
  });
  assert.deepEqual(written, ['It says "hello".']);
  assert.equal(text, 'The tool said: noted');
});

test('an object is asked for as a JSON schema', async () => {
  const { output } = await generateText({
    model: openai('writer'),
    prompt: 'An animal.',
    output: Output.object({ schema: z.object({ name: z.string(), legs: z.number() }) }),
  });
  assert.deepEqual(output, ANIMAL);
  assert.equal((await served.sentTo('writer'))[0]?.response_format?.type, 'json_schema');
});

test('a refused request and a run that fails are errors of the client', async () => {
  const busy = generateText({ model: openai('busy'), prompt: 'Now!', maxRetries: 0 });
  await assert.rejects(busy, (error) => APICallError.isInstance(error) && error.statusCode === 429);
  const dying = generateText({ model: openai('dying'), prompt: 'Say it.', maxRetries: 0 });
  await assert.rejects(
    dying,
    (error) => APICallError.isInstance(error) && /server_error/.test(error.responseBody ?? ''),
  );
  const errors: unknown[] = [];
  const stream = streamText({
    model: openai('dying'),
    prompt: 'Say it.',
    onError: ({ error }) => {
      errors.push(error);
    },
  });
  let text = '';
  for await (const delta of stream.textStream) text += delta;
  assert.equal(text, 'I was about to');
  assert.equal(await stream.finishReason, 'error');
  assert.deepEqual(
    errors.map((error) => StreamProviderError.isInstance(error) && error.message),
    ['The upstream ended in the middle of the answer.'],
  );
});
