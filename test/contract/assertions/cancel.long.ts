import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHolt } from '../../support/holt.ts';
import { raceCancels } from '../race.ts';
import { LOCAL } from '../webhook-endpoint.ts';

/** A31 of cancel.test.ts in its full length. */

test('a cancel that races with the end leaves one end, a thousand times', async (t) => {
  await using holt = await startHolt(LOCAL);
  const ends = await raceCancels(holt, 1_000);
  t.diagnostic(JSON.stringify(Object.fromEntries(ends)));
  assert.deepEqual([...ends.keys()].toSorted(), ['cancelled', 'completed'], 'it was a race');
});
