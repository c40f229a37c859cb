import { test } from 'node:test';
import { webhookRound } from './webhook-round.ts';

/** The long form of webhooks.test.ts: 1,000 responses. `HOLT_SEED=n node --test test/crash/webhooks.long.ts` repeats one of its rounds. */

const FIRST_SEED = 20_260_101;
const only = process.env['HOLT_SEED'];
const seeds = only === undefined ? Array.from({ length: 5 }, (_, round) => FIRST_SEED + round) : [Number(only)];

for (const seed of seeds) {
  test(`seed ${seed}`, { timeout: 120_000 }, async (t) => {
    const { told, hits, duplicates } = await webhookRound(t.signal, { seed, responses: 200, kills: 15 });
    t.diagnostic(`${told} responses, ${hits} hits, ${duplicates} of them again`);
  });
}
