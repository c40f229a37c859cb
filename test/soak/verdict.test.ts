import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DIRECTORY, FILES, IN_USE, LIVE, RESIDENT } from './sample.ts';
import type { Sample } from './sample.ts';
import { judge } from './verdict.ts';

/** What is a leak and what is not, of figures that are made up. */

const MIB = 1 << 20;

/** Ninety samples, one a second, the first thirty of them warm-up. */
function samplesOf(
  quantity: string,
  valueAt: (second: number) => number | undefined,
  actsAt: (second: number) => number = (second) => 20 * second,
): Sample[] {
  return Array.from({ length: 90 }, (_, second) => {
    const value = valueAt(second);
    return {
      at: second * 1_000,
      acts: actsAt(second),
      values: new Map(value === undefined ? [] : [[quantity, value]]),
    };
  });
}

function isFlat(quantity: string, valueAt: (second: number) => number | undefined): boolean {
  const [verdict, ...others] = judge(samplesOf(quantity, valueAt), 30_000);
  assert.deepEqual(others, []);
  return verdict!.flat;
}

test('what grows in the warm-up only is flat', () => {
  assert.ok(isFlat(RESIDENT, (second) => (100 + 10 * Math.min(second, 30)) * MIB));
});

test('what grows all the time is a leak, however evenly', () => {
  assert.ok(!isFlat(RESIDENT, (second) => (100 + 3 * second) * MIB));
  assert.ok(!isFlat(LIVE, (second) => (60 + second / 5) * MIB));
  assert.ok(!isFlat(FILES, (second) => 27 + Math.floor(second / 5)));
});

test('a peak is no leak, wherever it is', () => {
  for (const peak of [35, 60, 85]) {
    assert.ok(isFlat(LIVE, (second) => (Math.abs(second - peak) < 5 ? 600 : 60) * MIB));
  }
});

test('what shrinks is no leak', () => {
  assert.ok(isFlat(DIRECTORY, (second) => (200 - second) * MIB));
});

test('one more file each half is allowed, a file that came into being late is not', () => {
  assert.ok(isFlat(FILES, (second) => (second < 60 ? 27 : 29)));
  assert.ok(!isFlat(FILES, (second) => (second < 60 ? 27 : 30)));
  assert.ok(!isFlat('holt.db-copy', (second) => (second < 60 ? undefined : 3 * MIB)));
});

test('what is looked at now and then is judged by what was seen', () => {
  assert.ok(isFlat(LIVE, (second) => (second % 4 === 0 ? 60 * MIB : undefined)));
  assert.ok(!isFlat(LIVE, (second) => (second % 4 === 0 ? (60 + second / 5) * MIB : undefined)));
});

test('a database may grow with what clients do, by what is alive in it; nothing else may', () => {
  const grown = (second: number): number => (second < 60 ? 20 : 30) * MIB;
  const busier = (second: number): number => 20 * second + 20 * Math.max(0, second - 60);
  for (const [quantity, alive, acts, flat] of [
    ['holt.db', 10 * MIB, busier, true],
    ['holt.db', 10 * MIB, undefined, false],
    ['leak', 2 * MIB, busier, false],
    [LIVE, 10 * MIB, busier, false],
  ] as const) {
    const samples = samplesOf(quantity, grown, acts);
    for (const { values } of samples) values.set(IN_USE, alive);
    const verdict = judge(samples, 30_000).find((one) => one.quantity === quantity);
    assert.equal(verdict?.flat, flat, `${quantity}, ${alive}, ${acts === undefined ? 'as busy' : 'busier'}`);
  }
});
