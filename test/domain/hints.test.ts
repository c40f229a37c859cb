import assert from 'node:assert/strict';
import test from 'node:test';
import { LocalHints } from '../../server/src/hints/local.ts';
import { FakeClock } from '../support/clock.ts';

test('a hint announced between reading and waiting is not lost, and the newest one wins', async () => {
  const hints = new LocalHints(new FakeClock());
  const subscription = hints.subscribe('r', 1_000, new AbortController().signal);
  hints.announce('r', { firstSequence: 1 });
  hints.announce('r', { firstSequence: 2 });
  assert.deepEqual(await subscription.next(), { firstSequence: 2 });
  const next = subscription.next();
  hints.announce('other', { firstSequence: 9 });
  hints.announce('r', { firstSequence: 3 });
  assert.deepEqual(await next, { firstSequence: 3 });
});

test('without a hint the reader is told to look anyway', async () => {
  const clock = new FakeClock();
  const subscription = new LocalHints(clock).subscribe('r', 1_000, new AbortController().signal);
  for (let turn = 0; turn < 3; turn += 1) {
    const next = subscription.next();
    clock.advance(1_000);
    assert.equal(await next, undefined);
  }
});

test('a reader that leaves is released and forgotten', async () => {
  const hints = new LocalHints(new FakeClock());
  const watched: string[] = [];
  hints.onWatched((id) => watched.push(id));
  const leaving = new AbortController();
  const subscription = hints.subscribe('r', 1_000, leaving.signal);
  const other = hints.subscribe('r', 1_000, new AbortController().signal);
  assert.deepEqual(watched, ['r']);
  const next = subscription.next();
  leaving.abort(new Error('left'));
  await assert.rejects(next, /left/);
  subscription.close();
  assert.equal(hints.watched('r'), true);
  other.close();
  assert.equal(hints.watched('r'), false);
});

test('who waits for the end is woken like a reader and is none', async () => {
  const hints = new LocalHints(new FakeClock());
  const watched: string[] = [];
  hints.onWatched((id) => watched.push(id));
  const subscription = hints.subscribe('r', 1_000, new AbortController().signal, 'end');
  assert.deepEqual([watched, hints.watched('r')], [[], false]);
  hints.announce('r', { gone: true });
  assert.deepEqual(await subscription.next(), { gone: true });
  subscription.close();
});
