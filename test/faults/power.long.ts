import test from 'node:test';
import { powerRound } from './power-round.ts';

/**
 * The long form of power.test.ts. A failing round prints its seed; `HOLT_SEED=n node --test test/faults/power.long.ts`
 * repeats that one.
 */

const given = process.env['HOLT_SEED'];
const seeds = given === undefined ? Array.from({ length: 6 }, (_, index) => 11 + index) : [Number(given)];

for (const seed of seeds) {
  test(`power cuts on a failing disk, seed ${seed}`, async (t) => {
    const ends = await powerRound(t, { seed, cuts: 4, clients: 15, faults: true });
    t.diagnostic(JSON.stringify([...(ends ?? [])]));
  });
}
