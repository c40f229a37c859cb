import { setTimeout as sleep } from 'node:timers/promises';
import { allWaiting } from './cpu.ts';
import { settledRss } from './proc.ts';
import type { Setup } from './setup.ts';
import { spreadOf } from './spread.ts';
import type { Spread } from './spread.ts';

/**
 * Figure 3: memory for each response in flight. Holt's resident memory with 2,000 background responses whose upstream
 * has accepted and is silent, minus that of the same process before. What the process grows by when it meets its first
 * load is in it, so it is an upper bound.
 */

export type Memory = {
  responses: number;
  /** kB each, nobody reading */
  silentKB: Spread;
  /** kB each, with a stream attached to each */
  streamedKB: Spread;
};

/** So that every road was taken once; more would leave room in the heap, which then seems to cost nothing. */
const WARM_UP = 20;
const KB = 1_000;

export async function measureMemory(setup: Setup, size: { rounds: number; responses: number }): Promise<Memory> {
  const silent: number[] = [];
  const streamed: number[] = [];
  for (let round = 0; round < size.rounds; round += 1) {
    silent.push(await measureOnce(setup, size.responses, false));
    streamed.push(await measureOnce(setup, size.responses, true));
  }
  return { responses: size.responses, silentKB: spreadOf(silent), streamedKB: spreadOf(streamed) };
}

let measured = 0;

/** kB for each response. In a fresh process, since one that has once been large stays so. */
async function measureOnce(setup: Setup, responses: number, stream: boolean): Promise<number> {
  measured += 1;
  const gate = `memory-${measured}`;
  const holt = await setup.holt({ concurrency: responses + WARM_UP });
  const { url, pid } = holt;
  const request = { input: 'Tell me about otters.', background: true };
  const warm = await setup.client.ask<string[]>('create', {
    url,
    body: { ...request, model: 'events=20' },
    times: WARM_UP,
  });
  await allCompleted(setup, url, warm);
  const before = await settledRss(pid, 2_000);

  const body = { ...request, stream, model: `events=3&gate=${gate}` };
  const ids = stream ? [] : await setup.client.ask<string[]>('create', { url, body, times: responses });
  if (stream) await setup.client.ask('open', { name: gate, url, body, streams: responses });
  await allWaiting(setup, gate, responses);
  const after = await settledRss(pid, 3_000);

  // Not of broken work: each of them comes to its end.
  await setup.upstream.ask('open', { gate });
  if (stream) await setup.client.ask('finish', { name: gate, deltas: 3 });
  else await allCompleted(setup, url, ids);
  await holt.kill();
  return (after - before) / responses / KB;
}

async function allCompleted(setup: Setup, url: string, ids: string[]): Promise<void> {
  const WAIT_MS = 30_000;
  for (const end = performance.now() + WAIT_MS; performance.now() < end; await sleep(200)) {
    const found = await setup.client.ask<Record<string, number>>('statuses', { url, ids });
    if (found['completed'] === ids.length) return;
  }
  throw new Error(`not all of ${ids.length} responses were completed within ${WAIT_MS} ms`);
}
