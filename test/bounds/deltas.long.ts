import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { create, jsonRequest, otter, poll, pollUntil, streamUrl, textOf } from '../contract/wire.ts';
import { spawnHolt } from '../support/holt.ts';
import { readLongStream } from '../support/long-stream.ts';
import type { LongStream } from '../support/long-stream.ts';
import { SMALL_MACHINE, peakMemory } from '../support/peak-memory.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';

/** A million deltas of one byte in one response: all of them are there, for everybody, at a cost that does not grow. */

const DIGITS = '0123456789';
const DELTAS = 1_000_000;
const HALF = DELTAS / 2;
/** Each reader is sent some 230 MB. */
const MOST_MB = 900;

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
});
after(async () => {
  await upstream.stop();
});

test('a million deltas of one byte', { timeout: 600_000 }, async (t) => {
  await using holt = await spawnHolt({ env: SMALL_MACHINE, flags: ['--upstream', upstream.url] });
  const lines = Array.from(DIGITS, (digit) => {
    const choices = [{ index: 0, delta: { content: digit }, finish_reason: null }];
    return `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices })}\n\n`;
  });
  await upstream.script('digits', [
    { tokens: DELTAS / DIGITS.length, bare: true, text: lines.join('') },
    { finish: 'stop' },
    { done: true },
  ]);
  const reading = { mark: HALF, pattern: DIGITS };
  const body = { model: 'digits', input: 'Hi', background: true, stream: true };
  const middle = Promise.withResolvers<string>();
  const live = readLongStream(`${holt.url}/v1/responses`, jsonRequest(body), { ...reading, onMark: middle.resolve });
  const id = await Promise.race([middle.promise, live.then(() => assert.fail('it ended before its middle'))]);
  const late = readLongStream(streamUrl(holt, id), {}, reading);
  const small = await create(holt, otter({ tokens: 50 }, { background: true }));
  assert.equal((await pollUntil(holt, small.id)).status, 'completed');
  const meanwhile = await poll(holt, id);
  assert.equal(meanwhile.status, 'in_progress', 'the small one was not stuck behind it');
  assert.ok(textOf(meanwhile).length >= HALF);

  const first = await live;
  t.diagnostic(
    `live: ${speed(HALF, first.times.first, first.times.mark)}, then ${speed(HALF, first.times.mark, first.times.last)} beside another reader`,
  );
  assert.equal(first.first, 0);
  assert.equal(first.end, 'response.completed');
  assert.equal(first.length, DELTAS);
  assertSame(await late, first, 'who came late');
  const { times, ...replayed } = await readLongStream(streamUrl(holt, id), {}, reading);
  assertSame({ times, ...replayed }, first, 'a replay');
  const [one, two] = [times.mark - times.first, times.last - times.mark];
  t.diagnostic(`replay: ${speed(HALF, times.first, times.mark)}, then ${speed(HALF, times.mark, times.last)}`);
  assert.ok(two < 5 * one, 'a replay gets slower and slower');
  const resumed = await readLongStream(streamUrl(holt, id, `&starting_after=${HALF}`), {}, reading);
  assert.equal(resumed.first, HALF + 1);
  assert.equal(resumed.hash, first.hashAfterMark);
  assert.equal(textOf(await poll(holt, id)), DIGITS.repeat(DELTAS / DIGITS.length));
  const { times: at } = first;
  assert.ok(at.last - at.mark < 5 * (at.mark - at.first), 'it gets slower and slower');
  const peak = peakMemory(holt);
  t.diagnostic(`${peak} MB at most`);
  assert.ok(peak < MOST_MB, `${peak} MB`);
});

function assertSame(stream: LongStream, first: LongStream, who: string): void {
  assert.equal(stream.last, first.last, who);
  assert.equal(stream.hash, first.hash, who);
}

function speed(events: number, from: number, to: number): string {
  return `${Math.round((1_000 * events) / (to - from))} events a second`;
}
