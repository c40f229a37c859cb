import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import {
  EventReader,
  assertError,
  create,
  idIn,
  otter,
  poll,
  pollUntil,
  post,
  SILENT,
  textOf,
  within,
} from './wire.ts';

/** `POST /v1/responses`: what is acknowledged, and what it looks like. */

let holt: TestHolt;
let upstream: Upstream;
let relay: TestHolt;
before(async () => {
  [holt, upstream] = await Promise.all([startHolt(), startUpstream()]);
  relay = await startHolt({ flags: ['--upstream', upstream.url] });
});
after(async () => {
  await Promise.all([holt.stop(), relay.stop()]);
  await upstream.stop();
});

/** Written down, not computed: every field of the wire with its default. */
const DEFAULTS = {
  object: 'response',
  completed_at: null,
  error: null,
  frequency_penalty: 0,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  model: 'otter',
  moderation: null,
  output: [],
  parallel_tool_calls: true,
  presence_penalty: 0,
  previous_response_id: null,
  prompt_cache_key: null,
  prompt_cache_retention: null,
  reasoning: { effort: null, summary: null },
  safety_identifier: null,
  service_tier: 'auto',
  store: true,
  temperature: 1,
  text: { format: { type: 'text' }, verbosity: 'medium' },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: 'disabled',
  usage: null,
  user: null,
};

test('A3 a background response is acknowledged as queued, with every field of the wire and its default', async () => {
  const metadata = { 'scripted.first_token_ms': '3600000' };
  const { id, created_at, ...rest } = await create(holt, {
    model: 'otter',
    input: 'Hello',
    background: true,
    metadata,
  });
  assert.match(id, /^resp_[A-Za-z0-9_-]+$/);
  assert.ok(Number.isInteger(created_at) && Math.abs(created_at - Date.now() / 1000) < 60, String(created_at));
  assert.deepEqual(rest, { ...DEFAULTS, status: 'queued', background: true, metadata });
});

test('a foreground response comes back completed, with the same fields', async () => {
  const body = otter({ tokens: 3 });
  const { id, created_at, completed_at, output, usage, ...rest } = await create(holt, body);
  assert.match(id, /^resp_[A-Za-z0-9_-]+$/);
  assert.ok(Number.isInteger(completed_at) && Number(completed_at) >= created_at);
  const { completed_at: _, output: __, usage: ___, ...defaults } = DEFAULTS;
  assert.deepEqual(rest, {
    ...defaults,
    status: 'completed',
    background: false,
    service_tier: 'default',
    metadata: body['metadata'],
  });
  assert.equal(output.length, 1);
  assert.equal(typeof usage?.total_tokens, 'number');
});

test('what was asked for is echoed', async () => {
  const asked = {
    instructions: 'Be brief.',
    max_output_tokens: 16,
    max_tool_calls: 3,
    parallel_tool_calls: false,
    prompt_cache_key: 'key',
    prompt_cache_retention: '24h',
    safety_identifier: 'someone',
    temperature: 0.5,
    top_p: 0.25,
    user: 'me',
    tool_choice: { type: 'function', name: 'look' },
  };
  const tool = { type: 'function', name: 'look', parameters: { type: 'object', properties: {} } };
  const response = await create(
    holt,
    otter(
      { ...SILENT, tool_call: 'look' },
      {
        ...asked,
        background: true,
        tools: [tool],
        text: { verbosity: 'low' },
        reasoning: { effort: 'high', summary: 'auto' },
      },
    ),
  );
  for (const [key, value] of Object.entries(asked)) {
    assert.deepEqual((response as unknown as Record<string, unknown>)[key], value, key);
  }
  assert.deepEqual(response.tools, [{ ...tool, description: null, strict: true }]);
  assert.deepEqual(response.text, { format: { type: 'text' }, verbosity: 'low' });
  assert.deepEqual(response.reasoning, { effort: 'high', summary: 'auto' });
});

test('an old spelling and a null description are echoed as the official types have them', async () => {
  const schema = { type: 'object', properties: {}, additionalProperties: false };
  const format = { type: 'json_schema', name: 'answer', schema };
  const response = await create(relay, {
    model: 'any',
    input: 'Hello',
    prompt_cache_retention: 'in-memory',
    text: { format: { ...format, description: null, strict: null } },
  });
  assert.equal(response.prompt_cache_retention, 'in_memory');
  assert.deepEqual(response.text?.format, { ...format, strict: null });
});

test('fields that are null or empty mean their defaults', async () => {
  const nulls = Object.fromEntries(
    (
      'instructions background store stream stream_options previous_response_id conversation include ' +
      'max_output_tokens max_tool_calls parallel_tool_calls temperature top_p top_logprobs tools tool_choice text ' +
      'reasoning truncation service_tier prompt_cache_key prompt_cache_retention safety_identifier user prompt ' +
      'moderation context_management image access_programs'
    )
      .split(' ')
      .map((key) => [key, null]),
  );
  const plain = await create(holt, otter({ tokens: 1 }));
  for (const over of [nulls, { text: {}, include: [], tools: [], stream: false, reasoning: {} }]) {
    const { id, created_at, completed_at, output, ...rest } = await create(holt, otter({ tokens: 1 }, over));
    assert.notEqual(id, plain.id);
    assert.ok(created_at >= plain.created_at && Number(completed_at) >= created_at && output.length === 1);
    const { id: _, created_at: __, completed_at: ___, output: ____, ...expected } = plain;
    assert.deepEqual(rest, expected);
  }
});

test('A7 background null is a foreground response', async () => {
  const response = await create(holt, otter({}, { background: null }));
  assert.equal(response.background, false);
  assert.equal(response.status, 'completed');
});

test('A4 of ten thousand responses and their items no two share an id', async () => {
  const ids = new Set<string>();
  let expected = 0;
  for (let round = 0; round < 200; round += 1) {
    const made = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        create(holt, otter({ tokens: index % 2 }, index % 25 === 0 ? { background: true } : { store: false })),
      ),
    );
    for (const { id, output } of made) {
      assert.match(id, /^resp_[A-Za-z0-9_-]+$/);
      for (const one of [id, ...output.map((item) => item.id ?? '')]) {
        assert.match(one, /^(resp|msg)_[A-Za-z0-9_-]+$/);
        ids.add(one);
        expected += 1;
      }
    }
  }
  assert.equal(ids.size, expected);
  assert.ok(expected > 10_000);
});
test('a background response that must not be stored is refused, as JSON also when a stream was asked for', async () => {
  for (const stream of [false, true, null]) {
    const answer = await post(holt, otter({}, { background: true, store: false, stream }));
    assertError(answer, 400, {
      type: 'invalid_request_error',
      code: 'unsupported_parameter',
      param: 'background',
      message: "Background mode requires 'store' to be true.",
    });
  }
});

test('a model of any name is answered while no provider is configured', async () => {
  const response = await create(holt, otter({}, { model: 'gpt-5.2' }));
  assert.equal(response.model, 'gpt-5.2');
  assert.notEqual(textOf(response), '');
});

test('a message may be text, a list of parts, or come without its type', async () => {
  const inputs = [
    'Hello',
    [{ role: 'user', content: 'Hello' }],
    [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello' }] }],
    [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: 'Hi' },
      { role: 'user', content: 'Go on' },
    ],
    [],
    '',
  ];
  for (const input of inputs) {
    assert.equal((await create(holt, otter({}, { input }))).status, 'completed', JSON.stringify(input));
  }
});

test('A2 create answers at once though the model is silent', async () => {
  await upstream.script('slow', { headersGate: 'never', steps: [{ delta: { content: 'late' } }, { finish: 'stop' }] });

  const body = { model: 'slow', input: 'Hello', background: true };
  const polled = await within(10_000, create(relay, body), 'the answer of create');
  assert.equal(polled.status, 'queued');
  await upstream.waitForRequest('slow', 1);
  assert.equal((await poll(relay, polled.id)).status, 'in_progress');

  const reader = await within(10_000, EventReader.create(relay, body), 'the head of the stream');
  const begun = await reader.take(3);
  assert.deepEqual(
    begun.map((frame) => frame.event),
    ['response.created', 'response.queued', 'response.in_progress'],
  );
  await upstream.waitForRequest('slow', 2);

  await upstream.release('never');
  assert.equal(textOf(await pollUntil(relay, polled.id)), 'late');
  assert.equal(textOf(await pollUntil(relay, idIn(begun[0]))), 'late');
});
