import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { TokenBucket } from '../../server/src/domain/token-bucket.ts';

/** A limit a minute: what can be taken of it, and when. */

const MINUTE = 60_000;
const NOW = 1_700_000_000_000;

type Taken = { at: number; amount: number };

/** Takes whatever is there, of `wanted`, each after a pause. */
function play(limit: number, wanted: readonly { pause: number; amount: number }[]): Taken[] {
  const bucket = new TokenBucket(limit, NOW);
  const taken: Taken[] = [];
  let at = NOW;
  for (const { pause, amount } of wanted) {
    at += pause;
    if (bucket.waitMs(amount, at) > 0) continue;
    bucket.take(amount, at);
    taken.push({ at, amount });
  }
  return taken;
}

const wanted = fc.array(
  fc.record({
    pause: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 90_000 })),
    amount: fc.integer({ min: 1, max: 40 }),
  }),
  { maxLength: 60 },
);

test('within any span no more is taken than a minute holds and what flows in meanwhile', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), wanted, (limit, steps) => {
      const taken = play(limit, steps);
      for (const [first, { at: from }] of taken.entries()) {
        let sum = 0;
        for (const { at, amount } of taken.slice(first)) {
          sum += amount;
          assert.ok(sum <= limit + (limit * (at - from)) / MINUTE + 1e-3, `${sum} of ${limit} within ${at - from} ms`);
        }
      }
    }),
  );
});

test('what has to wait can be taken after exactly that, and not a millisecond earlier', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 0, max: 200_000 }),
      fc.integer({ min: 1, max: 100_000 }),
      (limit, used, amount) => {
        const bucket = new TokenBucket(limit, NOW);
        bucket.take(used, NOW);
        const wait = bucket.waitMs(amount, NOW);
        if (amount > limit) {
          assert.equal(wait, Infinity);
          return;
        }
        if (wait > 0) assert.ok(bucket.waitMs(amount, NOW + wait - 1) > 0, 'it need not have waited');
        assert.equal(bucket.waitMs(amount, NOW + wait), 0, 'it has waited');
      },
    ),
  );
});

test('a full one holds a minute, not more, however long nothing was taken', () => {
  const bucket = new TokenBucket(60, NOW);
  assert.equal(bucket.level(NOW + 10 * MINUTE), 60);
  bucket.take(60, NOW + 10 * MINUTE);
  assert.equal(bucket.level(NOW + 10 * MINUTE), 0);
  assert.equal(bucket.level(NOW + 10 * MINUTE + 500), 0.5);
  assert.equal(bucket.resetMs(NOW + 10 * MINUTE + 500), 59_500);
});

test('what took more than was thought is made up for, and what took less is given back', () => {
  const bucket = new TokenBucket(100, NOW);
  bucket.take(100, NOW);
  bucket.take(50, NOW);
  assert.equal(bucket.waitMs(1, NOW), (51 * MINUTE) / 100);
  bucket.take(-500, NOW);
  assert.equal(bucket.level(NOW), 100, 'no more than it holds');
});

test('what was used stays used when the limit changes', () => {
  const bucket = new TokenBucket(100, NOW);
  bucket.take(30, NOW);
  bucket.setLimit(50, NOW);
  assert.equal(bucket.level(NOW), 20);
  bucket.setLimit(10, NOW);
  assert.equal(bucket.level(NOW), -20);
  bucket.setLimit(100, NOW);
  assert.equal(bucket.level(NOW), 70);
});

test('a clock that goes back gives nothing away', () => {
  const bucket = new TokenBucket(60, NOW);
  bucket.take(60, NOW);
  assert.equal(bucket.level(NOW - MINUTE), 0);
  assert.equal(bucket.level(NOW + 1_000), 1);
});
