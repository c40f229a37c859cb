import test from 'node:test';
import { powerRound } from './power-round.ts';

/** Some two minutes. A seed that fails is to be given alone, in the environment: HOLT_TEST_SEED. */
const given = process.env['HOLT_TEST_SEED'];
const seeds = given === undefined ? Array.from({ length: 6 }, (_, index) => 11 + index) : [Number(given)];

for (const seed of seeds) {
  test(`power cuts on a failing disk, seed ${seed}`, async (t) => {
    const ends = await powerRound(t, { seed, cuts: 4, clients: 15, faults: true });
    t.diagnostic(JSON.stringify([...(ends ?? [])]));
  });
}
