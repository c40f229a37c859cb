import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RESULTS } from './holt.ts';
import type { Setup } from './setup.ts';
import { median, percentile, spreadOf } from './spread.ts';
import type { Spread } from './spread.ts';

/**
 * Figure 1: how much later the first token of a background stream is than that of a foreground stream, on the same
 * server and upstream, one client at a time. The upstream takes 30 ms for its own first token.
 */

export type FirstToken = {
  /** ms, difference of the medians of a round */
  gapMs: Spread;
  foregroundMs: { p50: number; p99: number };
  backgroundMs: { p50: number; p99: number };
  requests: number;
  /** A write and its sync on the same disk, with nothing around them, after as long a pause: what no durable first token can do without. */
  syncMs: Spread;
};

/** 10 ms apart. */
const DELTAS = 5;
const WARM_UP = 10;
const PAUSE_MS = 30;

export async function measureFirstToken(setup: Setup, size: { rounds: number; pairs: number }): Promise<FirstToken> {
  const request = {
    model: `first=${PAUSE_MS}&rate=100&events=${DELTAS}`,
    input: 'Tell me about otters.',
    stream: true,
    stream_options: { include_obfuscation: false },
  };
  const holt = await setup.holt();
  const ask = (times: number): Promise<[number[], number[]]> =>
    setup.client.ask('firstTokens', {
      url: holt.url,
      bodies: [request, { ...request, background: true }],
      times,
      deltas: DELTAS,
    });
  await ask(WARM_UP);
  const foreground: number[] = [];
  const background: number[] = [];
  const gaps: number[] = [];
  const syncs: number[] = [];
  for (let round = 0; round < size.rounds; round += 1) {
    const [plain, durable] = await ask(size.pairs);
    foreground.push(...plain);
    background.push(...durable);
    gaps.push(median(durable) - median(plain));
    syncs.push(await measureSync());
  }
  await holt.stop();
  return {
    gapMs: spreadOf(gaps),
    foregroundMs: { p50: median(foreground), p99: percentile(foreground, 0.99) },
    backgroundMs: { p50: median(background), p99: percentile(background, 0.99) },
    requests: foreground.length + background.length,
    syncMs: spreadOf(syncs),
  };
}

/** ms, median */
async function measureSync(): Promise<number> {
  const PAGE = Buffer.alloc(4_096, 7);
  const SYNCS = 15;
  const file = join(RESULTS, 'sync-test');
  const taken: number[] = [];
  const fd = openSync(file, 'w');
  for (let time = 0; time < SYNCS; time += 1) {
    await sleep(PAUSE_MS);
    const start = performance.now();
    writeSync(fd, PAGE);
    fsyncSync(fd);
    taken.push(performance.now() - start);
  }
  closeSync(fd);
  rmSync(file);
  return median(taken);
}
