import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventReader, cancel, create, get, idIn, otter, poll, pollUntil, post, responseIn } from '../contract/wire.ts';
import { spawnHolt } from '../support/holt.ts';
import { SMALL_MACHINE, peakMemory } from '../support/peak-memory.ts';

/** Inputs of ten megabytes, one after another: others go on meanwhile, and memory is bounded. */

const BYTES = 10 * 1024 * 1024;
const CREATES = 10;
/** Ten times what it is on a busy machine with two cores. */
const LONGEST_STALL_MS = 25_000;
const MOST_MB = 1_000;

for (const [shape, input] of [
  ['one text', 'w'.repeat(BYTES)],
  [
    'ten thousand items',
    Array.from({ length: 10_000 }, (_, index) => ({ role: 'user', content: `${index} ${'w'.repeat(BYTES / 10_000)}` })),
  ],
] as const) {
  test(`ten megabytes of input as ${shape}`, { timeout: 120_000 }, async (t) => {
    await using holt = await spawnHolt({ env: SMALL_MACHINE });
    const steady = await EventReader.create(holt, otter({ tokens: 50_000, interval_ms: 15 }, { background: true }));
    const [begunWith] = await steady.take(4);
    const small = await create(holt, otter({ tokens: 5 }, { background: true }));
    await pollUntil(holt, small.id);
    const work = { over: false };
    const loop = slowest(() => get(holt, 'models'), work);
    const store = slowest(() => poll(holt, small.id), work);
    // Made once, so that this process, which the small client runs in, has little to do.
    const body = Buffer.from(JSON.stringify(otter({ tokens: 5 }, { background: true, input })));
    const begun = performance.now();
    const ids: string[] = [];
    for (let count = 0; count < CREATES; count += 1) ids.push(responseIn(await post(holt, body)).id);
    const took = performance.now() - begun;
    work.over = true;
    const longest = Math.max(await loop, await store);
    t.diagnostic(
      `a create took ${Math.round(took / CREATES)} ms, a list of the models meanwhile at most ${await loop} ms, a poll ${await store} ms`,
    );
    for (const id of ids) assert.equal((await pollUntil(holt, id)).status, 'completed');
    const peak = peakMemory(holt);
    t.diagnostic(`${peak} MB at most`);
    await steady.take(10);
    await cancel(holt, idIn(begunWith));
    steady.leave();
    assert.ok(longest < LONGEST_STALL_MS, `somebody waited ${longest} ms`);
    assert.ok(peak < MOST_MB, `${peak} MB`);
  });
}

/** ms of the slowest answer to a client that asks again and again until the work is over. */
async function slowest(ask: () => Promise<unknown>, work: { over: boolean }): Promise<number> {
  let longest = 0;
  while (!work.over) {
    const asked = performance.now();
    await ask();
    longest = Math.max(longest, performance.now() - asked);
  }
  return Math.round(longest);
}
