import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { MovedClock } from './moved-clock.ts';
import {
  EventReader,
  SILENT,
  assertError,
  call,
  cancel,
  create,
  get,
  hasEnded,
  idIn,
  otter,
  poll,
  pollUntil,
  post,
  remove,
  textOf,
} from './wire.ts';
import type { Served, WireResponse } from './wire.ts';

/** `GET /v1/responses/{id}`: what a client learns by asking again and again. */

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

const text = (content: string) => ({ delta: { content } });

/** Every poll from now to the end. */
async function pollToEnd(served: Served, id: string): Promise<WireResponse[]> {
  const seen: WireResponse[] = [];
  do seen.push(await poll(served, id));
  while (!hasEnded(seen.at(-1)!));
  return seen;
}

test('A15 the status goes from queued to in_progress to its end and never back', async () => {
  const scripts = [
    { over: {}, end: 'completed' },
    { over: { max_output_tokens: 16 }, end: 'incomplete' },
    { script: { fail_after: 30 }, over: {}, end: 'failed' },
  ];
  for (const { script = {}, over, end } of scripts) {
    const made = await create(holt, otter({ tokens: 60, interval_ms: 3, ...script }, { background: true, ...over }));
    const polls = [made, ...(await pollToEnd(holt, made.id))];
    const path = polls.map(({ status }) => String(status)).filter((status, at, all) => status !== all[at - 1]);
    assert.deepEqual(path, ['queued', 'in_progress', end]);
    // What is fixed at the beginning stays as it was.
    for (const { id, created_at, background, metadata, service_tier } of polls.slice(0, -1)) {
      assert.deepEqual(
        { id, created_at, background, metadata, service_tier },
        { id: made.id, created_at: made.created_at, background: true, metadata: made.metadata, service_tier: 'auto' },
      );
    }
  }
});

test('while it runs a poll shows the output so far, which grows and is never taken back', async () => {
  const made = await create(holt, otter({ tokens: 150, interval_ms: 4 }, { background: true }));
  const polls = await pollToEnd(holt, made.id);
  const texts = polls.map(textOf);
  texts.reduce((before, now) => {
    assert.ok(now.startsWith(before), `${JSON.stringify(before)} was followed by ${JSON.stringify(now)}`);
    return now;
  }, '');
  const running = polls.slice(0, -1).filter(({ output }) => output.length > 0);
  assert.ok(new Set(running.map(textOf)).size >= 2, 'more than one partial output was seen');
  for (const { usage, completed_at, error, output } of running) {
    assert.deepEqual({ usage, completed_at, error }, { usage: null, completed_at: null, error: null });
    assert.ok(output.every((item) => item.type === 'message' && item.role === 'assistant'));
  }
});

test('what a model has said so far can be polled however long it pauses', async () => {
  await upstream.script('pausing', [
    { delta: { reasoning_content: 'Otters…' } },
    text('Once'),
    text(' upon'),
    { gate: 'first pause' },
    text(' a'),
    text(' time'),
    text(' there'),
    text(' was'),
    { gate: 'second pause' },
    text(' an otter.'),
    { finish: 'stop' },
    { done: true },
  ]);
  const { id } = await create(relay, { model: 'pausing', input: 'Hello', background: true });
  await upstream.waitForGate('first pause');
  const first = await pollUntil(relay, id, (response) => textOf(response) === 'Once upon');
  const [reasoning, message] = first.output;
  assert.ok(reasoning?.type === 'reasoning' && message?.type === 'message');
  assert.equal(first.status, 'in_progress');
  assert.deepEqual(reasoning.content, [{ type: 'reasoning_text', text: 'Otters…' }]);
  assert.equal(reasoning.status, 'completed');
  assert.equal(message.status, 'in_progress');
  assert.equal((await get(relay, `responses/${id}`)).text, (await get(relay, `responses/${id}`)).text);

  await upstream.release('first pause');
  await upstream.waitForGate('second pause');
  const second = await pollUntil(relay, id, (response) => textOf(response) === 'Once upon a time there was');
  assert.equal(second.output[1]?.id, message.id);

  await upstream.release('second pause');
  const last = await pollUntil(relay, id);
  assert.equal(textOf(last), 'Once upon a time there was an otter.');
  assert.deepEqual(
    last.output.map((item) => item.id),
    [reasoning.id, message.id],
  );
});

test('a tool call that is still being written is shown as far as it is', async () => {
  const call = (args: string, name?: string) => ({
    delta: {
      tool_calls: [{ index: 0, ...(name && { id: 'call_1' }), function: { ...(name && { name }), arguments: args } }],
    },
  });
  await upstream.script('calling', [call('{"pl', 'find'), { gate: 'call' }, call('ace":1}'), { finish: 'tool_calls' }]);
  const tools = [{ type: 'function', name: 'find' }];
  const { id } = await create(relay, { model: 'calling', input: 'Hello', background: true, tools });
  const partial = await pollUntil(relay, id, ({ output }) => output[0]?.type === 'function_call');
  const item = partial.output[0];
  assert.ok(item?.type === 'function_call');
  assert.deepEqual(
    [item.status, item.name, item.call_id, '{"pl'.startsWith(item.arguments)],
    ['in_progress', 'find', 'call_1', true],
  );
  await upstream.release('call');
  const done = (await pollUntil(relay, id)).output[0];
  assert.ok(done?.type === 'function_call');
  assert.deepEqual([done.id, done.status, done.arguments], [item.id, 'completed', '{"place":1}']);
});

test('a response that waits for its turn is polled as queued and empty', async () => {
  await using small = await startHolt({ configure: (config) => (config.worker.concurrency = 1) });
  await create(small, otter(SILENT, { background: true }));
  const { id } = await create(small, otter({}, { background: true }));
  const { status, output, usage } = await poll(small, id);
  assert.deepEqual({ status, output, usage }, { status: 'queued', output: [], usage: null });
});

test('A16 an ended response is the same bytes at every poll', async () => {
  const ends = [
    otter({}, { background: true }),
    otter({ reasoning_tokens: 5 }, { background: true, stream: false }),
    otter({ fail_after: 5 }, { background: true }),
    otter({ tokens: 40 }, { background: true, max_output_tokens: 16 }),
    otter({}),
  ];
  for (const body of ends) {
    const { id } = await create(holt, body);
    await pollUntil(holt, id);
    const { text } = await get(holt, `responses/${id}`);
    const polls = await Promise.all(Array.from({ length: 100 }, () => get(holt, `responses/${id}`)));
    for (const again of polls) assert.equal(again.text, text);
  }
});

test('A17 a completed response has its time, its usage and only completed items', async () => {
  const { id, created_at } = await create(holt, otter({ tokens: 30, reasoning_tokens: 7 }, { background: true }));
  const response = await pollUntil(holt, id);
  assert.equal(response.status, 'completed');
  assert.ok(Number.isInteger(response.completed_at) && Number(response.completed_at) >= created_at);
  assert.deepEqual([response.error, response.incomplete_details, response.service_tier], [null, null, 'default']);
  for (const item of response.output) assert.equal('status' in item && item.status, 'completed');
  assert.deepEqual(
    response.output.map(({ type }) => type),
    ['reasoning', 'message'],
  );
  const usage = response.usage;
  assert.ok(usage !== null && usage !== undefined);
  assert.deepEqual(Object.keys(usage).toSorted(), [
    'input_tokens',
    'input_tokens_details',
    'output_tokens',
    'output_tokens_details',
    'total_tokens',
  ]);
  assert.deepEqual(Object.keys(usage.input_tokens_details).toSorted(), ['cache_write_tokens', 'cached_tokens']);
  assert.deepEqual(usage.output_tokens_details, { reasoning_tokens: 7 });
  assert.equal(usage.output_tokens, 37);
  assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
});

test('A19 a response that failed is a 200 with an error code that clients know, and keeps what it had', async () => {
  for (const failAfter of [0, 5]) {
    const { id } = await create(holt, otter({ tokens: 20, fail_after: failAfter }, { background: true }));
    const response = await pollUntil(holt, id);
    assert.equal(response.status, 'failed');
    assert.equal(response.completed_at, null);
    assert.deepEqual(Object.keys(response.error ?? {}).toSorted(), ['code', 'message']);
    assert.ok(['server_error', 'rate_limit_exceeded', 'invalid_prompt'].includes(String(response.error?.code)));
    assert.equal(textOf(response).split(' ').length, failAfter === 0 ? 1 : 5);
    for (const item of response.output) assert.equal('status' in item && item.status, 'incomplete');
  }
});

test('what an upstream refuses becomes the error of the response, not of the poll', async () => {
  await upstream.script('refusing', {
    reply: { status: 400, body: { error: { message: 'no such thing', type: 'invalid_request_error', code: null } } },
  });
  const { id } = await create(relay, { model: 'refusing', input: 'Hello', background: true });
  const response = await pollUntil(relay, id);
  assert.equal(response.status, 'failed');
  assert.match(String(response.error?.message), /no such thing/);
  assert.deepEqual([response.output, response.completed_at], [[], null]);
});

test('A20 max_output_tokens ends a response as incomplete, with the reason and what there was', async () => {
  const { id } = await create(holt, otter({ tokens: 100 }, { background: true, max_output_tokens: 16 }));
  for (const response of [
    await pollUntil(holt, id),
    await create(holt, otter({ tokens: 100 }, { max_output_tokens: 16 })),
  ]) {
    assert.equal(response.status, 'incomplete');
    assert.deepEqual(response.incomplete_details, { reason: 'max_output_tokens' });
    assert.deepEqual([response.completed_at, response.error], [null, null]);
    assert.equal(response.usage?.output_tokens, 16);
    const [item] = response.output;
    assert.ok(item?.type === 'message' && item.status === 'incomplete');
    assert.equal(textOf(response).split(' ').length, 16);
  }
});

test('A21 an unknown id is a 404 that says it', async () => {
  const id = 'resp_000000000000000000000000000000000000000000000000';
  for (const query of [
    '',
    '?stream=true',
    '?stream=true&starting_after=3',
    '?include[]=message.output_text.logprobs',
  ]) {
    assertError(await get(holt, `responses/${id}${query}`), 404, {
      type: 'invalid_request_error',
      code: null,
      param: null,
      message: `Response with id '${id}' not found.`,
    });
  }
});

test('a foreground response can be read after its end, and not before', async () => {
  await upstream.script('front', [text('Hi'), { gate: 'front' }, { finish: 'stop' }, { done: true }]);
  const reader = await EventReader.create(relay, { model: 'front', input: 'Hello' });
  const [created] = await reader.take(1);
  const id = idIn(created);
  await upstream.waitForGate('front');
  assertError(await get(relay, `responses/${id}`), 404);
  assertError(await get(relay, `responses/${id}/input_items`), 404);
  assertError(await cancel(relay, id), 404);
  assertError(await remove(relay, id), 404);
  await upstream.release('front');
  const end = (await reader.rest()).at(-1);
  assert.equal(end?.event, 'response.completed');
  assert.deepEqual(await poll(relay, id), end.data['response']);
});

test('a foreground response that must not be stored is never found', async () => {
  for (const stream of [false, true]) {
    const answer = await post(holt, otter({}, { store: false, stream }));
    const id = /resp_[0-9a-f]+/.exec(answer.text)?.[0] ?? '';
    assert.match(answer.text, /"store":false/);
    assertError(await get(holt, `responses/${id}`), 404);
    assertError(await get(holt, `responses/${id}/input_items`), 404);
    assertError(await cancel(holt, id), 404);
    assertError(await remove(holt, id), 404);
  }
});

test('after a restart everything is still there, byte for byte', async () => {
  const data = await temporaryDirectory();
  const bodies = [otter({}, { background: true }), otter(), otter({ fail_after: 3 }, { background: true })];
  let ids: string[] = [];
  const texts: string[] = [];
  {
    await using first = await startHolt({ data });
    ids = (await Promise.all(bodies.map((body) => create(first, body)))).map(({ id }) => id);
    for (const id of ids) {
      await pollUntil(first, id);
      texts.push((await get(first, `responses/${id}`)).text, (await get(first, `responses/${id}/input_items`)).text);
    }
  }
  await using second = await startHolt({ data });
  for (const id of ids) {
    assert.equal((await get(second, `responses/${id}`)).text, texts.shift());
    assert.equal((await get(second, `responses/${id}/input_items`)).text, texts.shift());
  }
  await second.stop();
  await rm(data, { recursive: true });
});

test('after its retention a response is gone, for every verb, and not a moment before', async () => {
  const clock = new MovedClock();
  await using forgetful = await startHolt({
    configure: (config) => (config.retention.response = 60_000),
    overrides: { clock },
  });
  const ids = await Promise.all(
    [otter(), otter({}, { background: true }), otter({}, { background: true, stream: false })].map(
      async (body) => (await create(forgetful, body)).id,
    ),
  );
  const running = await create(forgetful, otter(SILENT, { background: true }));
  for (const id of ids) await pollUntil(forgetful, id);
  clock.later = 50_000;
  for (const id of ids) assert.equal((await get(forgetful, `responses/${id}`)).status, 200);
  clock.later = 61_000;
  for (const id of ids) {
    assertError(await get(forgetful, `responses/${id}`), 404);
    assertError(await get(forgetful, `responses/${id}?stream=true`), 404);
    assertError(await get(forgetful, `responses/${id}/input_items`), 404);
    assertError(await cancel(forgetful, id), 404);
    assertError(await call('DELETE', `${forgetful.url}/v1/responses/${id}`), 404);
  }
  assert.equal((await poll(forgetful, running.id)).status, 'in_progress', 'what runs does not expire');
});
