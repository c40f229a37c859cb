import assert from 'node:assert/strict';
import { test } from 'node:test';
import { raceDeletes } from './race-deletes.ts';
import { missedIn, noFigures } from './figures.ts';
import { makeKit, tortureRound } from './torture-round.ts';

/** The long form of torture.test.ts: through every point. `npm run torture` goes on from here. */

const FIRST_SEED = 20_260_101;
const ROUNDS = 32;
/** A point that a seed wanted and a server did not come by in time gets some more tries. */
const TRIES = 8;

test('every named point, and random ones', { timeout: 1_200_000 }, async (t) => {
  const kit = await makeKit(t.signal);
  const figures = noFigures();
  for (let round = 0; round < ROUNDS; round += 2) {
    await Promise.all([0, 1].map((next) => tortureRound(kit, FIRST_SEED + round + next, figures)));
  }
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    for (const point of missedIn(figures)) {
      t.diagnostic(`again: ${point.name}`);
      await tortureRound(kit, FIRST_SEED + ROUNDS + attempt, figures, point);
    }
  }
  for (const counts of Object.values(figures)) t.diagnostic(JSON.stringify(Object.fromEntries(counts)));
  assert.deepEqual(
    missedIn(figures).map(({ name }) => name),
    [],
    'every point was reached',
  );
});

test('a thousand deletes against a running owner', { timeout: 240_000 }, async (t) => {
  const counts = await raceDeletes(1_000);
  t.diagnostic(JSON.stringify(Object.fromEntries(counts)));
  assert.deepEqual([...counts.keys()].toSorted(), ['after its end', 'amid its text', 'before its text']);
});
