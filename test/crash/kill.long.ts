import { test } from 'node:test';
import { killRound } from './round.ts';

/**
 * The long form of kill.test.ts: many rounds of many clients. A failing round prints its seed;
 * `HOLT_SEED=n node --test test/crash/kill.long.ts` repeats that one.
 */

const FIRST_SEED = 20_260_101;
const ROUNDS = 18;
const only = process.env['HOLT_SEED'];
const seeds = only === undefined ? Array.from({ length: ROUNDS }, (_, round) => FIRST_SEED + round) : [Number(only)];

for (const seed of seeds) {
  const round = Math.abs(seed - FIRST_SEED);
  const options = {
    clients: 12 + (round % 4) * 8,
    kills: 3 + (round % 3),
    concurrency: 8 + (round % 2) * 24,
    atBoot: true,
  };
  test(`seed ${seed}: ${options.clients} clients, ${options.kills} kills`, { timeout: 120_000 }, async (t) => {
    const ends = await killRound(t.signal, { seed, ...options });
    t.diagnostic([...ends].map(([end, count]) => `${count} ${end}`).join(', '));
  });
}
