import assert from 'node:assert/strict';
import test from 'node:test';
import { startHolt } from '../support/holt.ts';
import { streamFrames } from '../support/sse.ts';

/** The order and the keys of a stream, frozen: clients were written against them. */

async function eventsOf(body: object): Promise<{ type: string; keys: string[] }[]> {
  await using holt = await startHolt();
  const frames = await streamFrames(`${holt.url}/v1/responses`, { method: 'POST', body: JSON.stringify(body) });
  return frames.map(({ data }) => ({ type: data.type, keys: Object.keys(data) }));
}

const LIFECYCLE = ['type', 'sequence_number', 'response'];
const ITEM = ['type', 'sequence_number', 'output_index', 'item'];
const PART = ['type', 'sequence_number', 'item_id', 'output_index', 'content_index', 'part'];

test('a background text stream', async () => {
  const metadata = { 'scripted.tokens': '1', 'scripted.first_token_ms': '0', 'scripted.interval_ms': '0' };
  const body = { model: 'otter', input: 'hi', background: true, stream: true, metadata };
  assert.deepEqual(await eventsOf(body), [
    { type: 'response.created', keys: LIFECYCLE },
    { type: 'response.queued', keys: LIFECYCLE },
    { type: 'response.in_progress', keys: LIFECYCLE },
    { type: 'response.output_item.added', keys: ITEM },
    { type: 'response.content_part.added', keys: PART },
    {
      type: 'response.output_text.delta',
      keys: ['type', 'sequence_number', 'item_id', 'output_index', 'content_index', 'delta', 'logprobs'],
    },
    {
      type: 'response.output_text.done',
      keys: ['type', 'sequence_number', 'item_id', 'output_index', 'content_index', 'text', 'logprobs'],
    },
    { type: 'response.content_part.done', keys: PART },
    { type: 'response.output_item.done', keys: ITEM },
    { type: 'response.completed', keys: LIFECYCLE },
  ]);
});

test('a foreground stream with reasoning and a tool call', async () => {
  const types = (
    await eventsOf({
      model: 'otter',
      input: 'hi',
      stream: true,
      tools: [{ type: 'function', name: 'look', parameters: { type: 'object', properties: {} } }],
      metadata: {
        'scripted.reasoning_tokens': '1',
        'scripted.tool_call': 'look',
        'scripted.first_token_ms': '0',
        'scripted.interval_ms': '0',
      },
    })
  ).map(({ type }) => type.replace(/^response\./, ''));
  assert.deepEqual(types, [
    'created',
    'in_progress',
    'output_item.added',
    'content_part.added',
    'reasoning_text.delta',
    'reasoning_text.done',
    'content_part.done',
    'output_item.done',
    'output_item.added',
    'function_call_arguments.delta',
    'function_call_arguments.delta',
    'function_call_arguments.delta',
    'function_call_arguments.done',
    'output_item.done',
    'completed',
  ]);
});
