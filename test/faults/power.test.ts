import assert from 'node:assert/strict';
import test from 'node:test';
import { powerRound } from './power-round.ts';

test('a power cut takes back nothing that a client has seen', async (t) => {
  const ends = await powerRound(t, { seed: 1, cuts: 2, clients: 12, faults: false });
  if (ends !== undefined) assert.ok((ends.get('completed') ?? 0) > 0, JSON.stringify([...ends]));
});

test('nor does a power cut of a disk that has failed before', async (t) => {
  await powerRound(t, { seed: 2, cuts: 2, clients: 12, faults: true });
});
