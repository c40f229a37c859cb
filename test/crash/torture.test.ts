import assert from 'node:assert/strict';
import { test } from 'node:test';
import { raceDeletes } from './race-deletes.ts';
import { noFigures } from './figures.ts';
import { makeKit, tortureRound } from './torture-round.ts';

/** The torture in short, with a fixed seed; torture.long.ts goes to every point. */

test('stopped at named points, servers lose nothing and take nothing back', { timeout: 290_000 }, async (t) => {
  const kit = await makeKit(t.signal);
  const figures = noFigures();
  for (const seed of [1, 2, 3]) await tortureRound(kit, seed, figures);
  t.diagnostic(JSON.stringify(Object.fromEntries(figures.stops)));
  assert.ok(figures.stops.size >= 6, 'servers were stopped');
});

test('deleting against a running owner never brings a response back', { timeout: 60_000 }, async (t) => {
  const counts = await raceDeletes(64);
  t.diagnostic(JSON.stringify(Object.fromEntries(counts)));
  assert.ok((counts.get('amid its text') ?? 0) > 0, 'it was a race');
});
