import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { jsonRequest, poll, streamUrl } from '../contract/wire.ts';
import type { WireResponse } from '../contract/wire.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import { readLongStream } from '../support/long-stream.ts';
import type { LongStream } from '../support/long-stream.ts';
import { SMALL_MACHINE, peakMemory } from '../support/peak-memory.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Step, Upstream } from '../support/upstream.ts';

/** Megabytes of tool arguments, and thousands of calls: all are kept, within the limit, at a cost that does not grow. */

const MOST_MB = 900;
/** The last event holds all of the text once more. */
const SLACK_MS = 3_000;
const TOOLS = [{ type: 'function', name: 'write', parameters: { type: 'object' }, strict: false }];

let upstream: Upstream;
let file: string;
before(async () => {
  upstream = await startUpstream();
  file = join(await temporaryDirectory(), 'holt.yaml');
  await writeFile(file, 'limits: { output_bytes: 32 MiB }');
});
after(async () => {
  await upstream.stop();
});

function serve(): Promise<HoltProcess> {
  return spawnHolt({ env: SMALL_MACHINE, flags: ['--config', file, '--upstream', upstream.url] });
}

/** A piece of the call at `index`; the first of a call names it. */
function piece(index: number, args: string, first = false): Step {
  const begun = first ? { id: `call_${index}`, type: 'function' } : {};
  const called = { ...(first && { name: 'write' }), arguments: args };
  return { delta: { tool_calls: [{ index, ...begun, function: called }] } };
}

function argumentsOf(response: WireResponse): string[] {
  return response.output.map((item) => (item.type === 'function_call' ? item.arguments : assert.fail(item.type)));
}

const ENDING: Step[] = [{ finish: 'tool_calls' }, { done: true }];

test('ten megabytes of arguments, in pieces of a hundred bytes', { timeout: 300_000 }, async (t) => {
  await using holt = await serve();
  const text = 'w'.repeat(100);
  const pieces = 100_000;
  const bare = `data: ${JSON.stringify({ choices: [{ index: 0, ...piece(0, text), finish_reason: null }] })}\n\n`;
  await upstream.script('writer', [
    piece(0, '{"text":"', true),
    { tokens: pieces, bare: true, text: bare },
    piece(0, '"}'),
    ...ENDING,
  ]);
  const mark = pieces / 2;
  const body = { model: 'writer', input: 'Hi', background: true, stream: true, tools: TOOLS };
  const live = await readLongStream(`${holt.url}/v1/responses`, jsonRequest(body), { mark });
  assert.equal(live.end, 'response.completed');
  const [args, ...others] = argumentsOf(await poll(holt, live.id));
  assert.ok(args === `{"text":"${text.repeat(pieces)}"}` && others.length === 0, `${args?.length} characters`);
  const replay = await readLongStream(streamUrl(holt, live.id), {}, { mark });
  assert.equal(replay.hash, live.hash);
  const resumed = await readLongStream(streamUrl(holt, live.id, `&starting_after=${mark}`), {}, { mark });
  assert.equal(resumed.hash, live.hashAfterMark);
  assertSteady(live);
  assertSteady(replay);
  const peak = peakMemory(holt);
  t.diagnostic(`${halves(live)} live, ${halves(replay)} as a replay, ${peak} MB at most`);
  assert.ok(peak < MOST_MB, `${peak} MB`);
});

test('two thousand small calls beside a large one', { timeout: 300_000 }, async (t) => {
  await using holt = await serve();
  const small = 2_000;
  const part = 'w'.repeat(5_000);
  await upstream.script('caller', [
    piece(0, '{"text":"', true),
    ...Array.from({ length: small }, (_, index) => [piece(index + 1, `{"at":${index}}`, true), piece(0, part)]).flat(),
    piece(0, '"}'),
    ...ENDING,
  ]);
  const body = { model: 'caller', input: 'Hi', background: true, stream: true, tools: TOOLS };
  // Each small call is four events, and the large one grows beside it.
  const mark = (5 * small) / 2;
  const live = await readLongStream(`${holt.url}/v1/responses`, jsonRequest(body), { mark });
  assert.equal(live.end, 'response.completed');
  assertSteady(live);
  const replay = await readLongStream(streamUrl(holt, live.id), {}, { mark });
  assert.equal(replay.hash, live.hash);
  assertSteady(replay);
  const peak = peakMemory(holt);
  t.diagnostic(`${halves(live)} live, ${halves(replay)} as a replay, ${peak} MB at most`);
  const [large, ...others] = argumentsOf(await poll(holt, live.id));
  assert.ok(large === `{"text":"${part.repeat(small)}"}`, `${large?.length} characters`);
  assert.deepEqual(
    others,
    Array.from({ length: small }, (_, index) => `{"at":${index}}`),
  );
  assert.ok(peak < MOST_MB, `${peak} MB`);
});

test('twenty thousand calls that are all open at once', { timeout: 300_000 }, async (t) => {
  await using holt = await serve();
  const each: number[] = [];
  for (const count of [2_500, 20_000]) {
    const model = `${count} calls`;
    const calls = Array.from({ length: count }, (_, index) => index);
    await upstream.script(model, [
      ...calls.map((index) => piece(index, '', true)),
      ...calls.map((index) => piece(index, '{')),
      ...calls.map((index) => piece(index, '}')),
      ...ENDING,
    ]);
    const body = { model, input: 'Hi', background: true, stream: true, tools: TOOLS };
    const live = await readLongStream(`${holt.url}/v1/responses`, jsonRequest(body), { mark: 2 * count });
    assert.equal(live.end, 'response.completed');
    assert.deepEqual(
      argumentsOf(await poll(holt, live.id)),
      calls.map(() => '{}'),
    );
    each.push((live.times.last - live.times.first) / count);
  }
  const [few = 0, many = 0] = each;
  const peak = peakMemory(holt);
  t.diagnostic(`${few.toFixed(3)} ms a call of few, ${many.toFixed(3)} ms a call of many, ${peak} MB at most`);
  assert.ok(many < 5 * few, 'calls get slower and slower');
  assert.ok(peak < MOST_MB, `${peak} MB`);
});

function halves({ times }: LongStream): string {
  return `${Math.round(times.mark - times.first)} and ${Math.round(times.last - times.mark)} ms`;
}

/** Very generous: others use this machine, too. */
function assertSteady({ times }: LongStream): void {
  const [one, two] = [times.mark - times.first, times.last - times.mark];
  assert.ok(two < 5 * one + SLACK_MS, `${Math.round(one)} ms, then ${Math.round(two)} ms`);
}
