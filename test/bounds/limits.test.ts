import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  EventReader,
  assertError,
  assertWholeStream,
  cancel,
  create,
  idIn,
  jsonRequest,
  poll,
  pollUntil,
  post,
  responseOf,
  streamUrl,
  textOf,
} from '../contract/wire.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt } from '../support/holt.ts';
import type { InProcess, TestHolt } from '../support/holt.ts';
import { streamFrames } from '../support/sse.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';

/** What one response may take: time, output, the silence of its upstream. */

/** Below every other time-out. */
const FIVE_MINUTES = 300_000;
const KIB = 1024;

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
});
after(async () => {
  await upstream.stop();
});

function relay(clock: FakeClock, configure: NonNullable<InProcess['configure']>): Promise<TestHolt> {
  return startHolt({ flags: ['--upstream', upstream.url], overrides: { clock }, configure });
}

/** `limits.run_time` for one model alone. */
function hasty(model: string): NonNullable<InProcess['configure']> {
  return (config) => {
    config.models[model] = { provider: 'upstream', limits: { runTimeMs: FIVE_MINUTES } };
  };
}

test('a run that takes longer than its model may is stopped and fails; what it has said is kept', async () => {
  const clock = new FakeClock();
  await using holt = await relay(clock, hasty('endless'));
  const steps = [{ delta: { content: 'And so' } }, { gate: 'never' }];
  await upstream.script('endless', steps);
  await upstream.script('patient', [...steps.slice(0, 1), { gate: 'at last' }, { finish: 'stop' }, { done: true }]);
  const endless = await EventReader.create(holt, { model: 'endless', input: 'Hi', background: true });
  const seen = await endless.take(6);
  const patient = await EventReader.create(holt, { model: 'patient', input: 'Hi', background: true });
  const others = await patient.take(6);

  clock.advance(FIVE_MINUTES - 1);
  const [seenId, otherId] = [idIn(seen[0]), idIn(others[0])];
  assert.equal((await poll(holt, seenId)).status, 'in_progress');
  clock.advance(1);
  await upstream.waitForClose('endless');
  const rest = await endless.rest();
  assertWholeStream([...seen, ...rest]);
  const failed = responseOf(rest.at(-1));
  assert.equal(failed.status, 'failed');
  assert.deepEqual(failed.error, {
    code: 'server_error',
    message: 'The response took longer than the 300 seconds this server gives its model.',
  });
  assert.equal(textOf(failed), 'And so');
  assert.deepEqual(
    failed.output.map((item) => 'status' in item && item.status),
    ['incomplete'],
  );
  assert.deepEqual(await poll(holt, seenId), failed);

  await upstream.release('at last');
  await patient.rest();
  assert.equal((await poll(holt, otherId)).status, 'completed', 'the other model has no such limit');
});

test('the time covers every try: a run is not waited for between two of them either', async () => {
  const clock = new FakeClock();
  await using holt = await startHolt({
    flags: ['--upstream', upstream.url],
    overrides: { clock, random: () => 1 },
    configure: (config) => {
      config.limits.run_time = 300;
    },
  });
  await upstream.script('broken', { reply: { status: 500, body: { error: { message: 'down' } } } });
  const { id } = await create(holt, { model: 'broken', input: 'Hi', background: true });
  await clock.waitForTimer(500);
  clock.advance(300);
  const failed = await pollUntil(holt, id);
  assert.match(failed.error?.message ?? '', /^The response took longer than the 0\.3 seconds/);
  assert.equal((await upstream.requests('broken')).length, 1);
});

test('in the foreground the end of the time is an error of HTTP, or of the stream once there is one', async () => {
  const clock = new FakeClock();
  await using holt = await relay(clock, hasty('hasty'));
  await upstream.script('hasty', { steps: [], headersGate: 'no answer' });
  const refused = post(holt, { model: 'hasty', input: 'Hi' });
  await upstream.waitForRequest('hasty');
  clock.advance(FIVE_MINUTES);
  const answer = await refused;
  assertError(answer, 502, { code: 'server_error', message: /took longer than the 300 seconds/ });
  assert.equal(answer.headers.get('x-should-retry'), 'false', 'it would take as long again');

  await upstream.script('hasty', [{ delta: { content: 'Well' } }, { gate: 'never' }]);
  const reader = await EventReader.create(holt, { model: 'hasty', input: 'Hi' });
  const seen = await reader.take(5);
  clock.advance(FIVE_MINUTES);
  const last = (await reader.rest()).at(-1);
  assert.equal(last?.event, 'response.failed');
  assert.equal(seen.length, 5);
  assert.equal(textOf(responseOf(last)), 'Well');
});

test('a model that never ends meets the limit of its output, and others go on meanwhile', async () => {
  await using holt = await startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => {
      config.models['drips'] = { provider: 'upstream', limits: { outputBytes: 100 * KIB } };
    },
  });
  await upstream.script('drips', [{ tokens: 100_000_000, text: 'drip ' }]);
  const other = streamFrames(`${holt.url}/v1/responses`, jsonRequest({ model: 'm', input: 'Hi', stream: true }));
  const { id } = await create(holt, { model: 'drips', input: 'Hi', background: true, stream: false });
  const failed = await pollUntil(holt, id);
  await upstream.waitForClose('drips');
  assert.deepEqual(failed.error, {
    code: 'server_error',
    message: 'The response is longer than the 102400 bytes this server keeps.',
  });
  assert.equal(textOf(failed), 'drip '.repeat((100 * KIB) / 5), 'all that fits, and no more');
  assert.equal((await other).at(-1)?.event, 'response.completed');
});

for (const [kind, script] of [
  ['text', { content: 'x' }],
  ['reasoning', { reasoning_content: 'x' }],
  ['refusal', { refusal: 'x' }],
  ['annotations', { content: 'x', annotations: [{ type: 'url_citation', url: 'https://x.example' }] }],
] as const) {
  test(`the limit of output counts ${kind}`, async () => {
    await using holt = await startHolt({
      flags: ['--upstream', upstream.url],
      configure: (config) => {
        config.limits.output_bytes = 2 * KIB;
      },
    });
    const delta = JSON.stringify({ choices: [{ index: 0, delta: script, finish_reason: null }] });
    await upstream.script('full', [{ tokens: 100_000_000, bare: true, text: `data: ${delta}\n\n` }]);
    const { id } = await create(holt, { model: 'full', input: 'Hi', background: true });
    assert.match((await pollUntil(holt, id)).error?.message ?? '', /longer than the 2048 bytes/);
  });
}

test('ten megabytes of arguments of a tool end at the limit, and what is kept is within it', async () => {
  await using holt = await startHolt({ flags: ['--upstream', upstream.url] });
  const call = { index: 0, id: 'call_1', function: { name: 'write', arguments: '{"text":"' } };
  const piece = 'y'.repeat(100 * KIB);
  await upstream.script('writer', [
    { delta: { tool_calls: [call] } },
    ...Array.from({ length: 100 }, () => ({
      delta: { tool_calls: [{ index: 0, function: { arguments: piece } }] },
    })),
    { finish: 'tool_calls' },
    { done: true },
  ]);
  const tools = [{ type: 'function', name: 'write', parameters: { type: 'object' }, strict: false }];
  const body = { model: 'writer', input: 'Hi', background: true, stream: true, tools };
  const frames = await streamFrames(`${holt.url}/v1/responses`, jsonRequest(body));
  const failed = responseOf(frames.at(-1));
  assert.equal(failed.error?.message, 'The response is longer than the 8388608 bytes this server keeps.');
  const [item] = failed.output;
  assert.ok(item?.type === 'function_call' && item.status === 'incomplete');
  assert.ok(item.arguments.length > 8_000 * KIB && item.arguments.length <= 8_192 * KIB);
  const replayed = await streamFrames(streamUrl(holt, failed.id));
  assert.ok(replayed.every(({ text }, index) => text === frames[index]?.text) && replayed.length === frames.length);
});

test('a call that is opened again and again is output, too', async () => {
  await using holt = await startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => {
      config.limits.output_bytes = 16 * KIB;
    },
  });
  const calls = Array.from({ length: 1_000 }, (_, index) => ({
    delta: { tool_calls: [{ index, id: `call_${index}`, function: { name: 'again' } }] },
  }));
  await upstream.script('caller', [...calls, { finish: 'tool_calls' }, { done: true }]);
  const tools = [{ type: 'function', name: 'again', parameters: { type: 'object' }, strict: false }];
  const { id } = await create(holt, { model: 'caller', input: 'Hi', background: true, tools });
  const failed = await pollUntil(holt, id);
  assert.match(failed.error?.message ?? '', /longer than the 16384 bytes/);
  assert.ok(failed.output.length < 100);
});

/** What is held back since nobody can tell yet what it is. */
const HELD = 'h'.repeat(8 * KIB);
const custom = { type: 'custom', name: 'write' };
for (const [title, deltas] of [
  ['arguments of a custom tool that are no input', [call('{"text":"', 'write'), call(HELD)]],
  ['what follows the input of a custom tool', [call('{"input":"x"}', 'write'), call(HELD)]],
  ['arguments of a call without a name', [call('{"text":"'), call(HELD)]],
  ['white space before a thought', [{ content: ' ' }, { content: ' '.repeat(8 * KIB) }]],
] as const) {
  test(`the limit of output counts ${title}`, async () => {
    await using holt = await startHolt({
      flags: ['--upstream', upstream.url],
      configure: (config) => {
        config.limits.output_bytes = 64 * KIB;
        const { upstream: provider } = config.providers;
        if (provider?.kind === 'chat') provider.think_tags = true;
      },
    });
    const [first, rest] = deltas;
    await upstream.script('holder', [
      { delta: first },
      ...Array.from({ length: 10 }, () => ({ delta: rest })),
      { gate: 'never' },
    ]);
    const { id } = await create(holt, { model: 'holder', input: 'Hi', background: true, tools: [custom] });
    assert.match((await pollUntil(holt, id)).error?.message ?? '', /longer than the 65536 bytes/);
  });
}

function call(args: string, name?: string): object {
  return {
    tool_calls: [{ index: 0, ...(name !== undefined && { id: 'call_1' }), function: { name, arguments: args } }],
  };
}

test('ten megabytes in one line of the upstream, ended or not, fail clearly and keep what came before', async () => {
  await using holt = await startHolt({ flags: ['--upstream', upstream.url] });
  for (const [model, end] of [
    ['line', '"}}]}\n\n'],
    ['endless line', ''],
  ] as const) {
    await upstream.script(model, [
      { delta: { content: 'Before. ' } },
      { send: 'data: {"choices":[{"index":0,"delta":{"content":"' },
      { tokens: 160, bare: true, text: 'z'.repeat(64 * KIB) },
      { send: end },
      { gate: 'never' },
    ]);
    const { id } = await create(holt, { model, input: 'Hi', background: true });
    const failed = await pollUntil(holt, id);
    await upstream.waitForClose(model);
    assert.equal(failed.error?.message, 'The upstream sent a line of more than 8388608 characters.');
    assert.equal(textOf(failed), 'Before. ');
  }
});

test('how long an upstream may be silent is set for each provider', async () => {
  const clock = new FakeClock();
  await using holt = await relay(clock, (config) => {
    const { upstream: provider } = config.providers;
    if (provider?.kind === 'chat') provider.timeouts = { first_byte: 60_000, idle: 30_000 };
  });
  await upstream.script('mute', [{ delta: { content: 'Hm' } }, { gate: 'never' }]);
  const muted = await EventReader.create(holt, { model: 'mute', input: 'Hi', background: true });
  await muted.take(6);
  clock.advance(30_000);
  const last = responseOf((await muted.rest()).at(-1));
  assert.equal(last.error?.message, 'The upstream fell silent in the middle of the answer.');
  assert.equal(textOf(last), 'Hm');

  await upstream.script('deaf', { steps: [], headersGate: 'no answer' });
  const { id } = await create(holt, { model: 'deaf', input: 'Hi', background: true });
  await upstream.waitForRequest('deaf');
  await clock.waitForTimer(60_000);
  clock.advance(60_000);
  await upstream.waitForClose('deaf');
  await cancel(holt, id); // it would be tried again
});
