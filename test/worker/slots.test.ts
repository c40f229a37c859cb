import assert from 'node:assert/strict';
import test from 'node:test';
import type { Slot } from '../../server/src/domain/ports.ts';
import { Slots } from '../../server/src/worker/slots.ts';
import type { Share } from '../../server/src/worker/slots.ts';
import { FakeClock } from '../support/clock.ts';

/** Who waits for a slot in the foreground: projects have their turns by weight, inside one the first comes first. */

const ONE: Share = { projectId: 'one', weight: 1 };
const THREE: Share = { projectId: 'three', weight: 3 };
const never = new AbortController().signal;

type Line = {
  slots: Slots;
  clock: FakeClock;
  /** Who got a slot, in order. */
  served: string[];
  wait: (share: Share, name?: string, signal?: AbortSignal) => Promise<void>;
  /** Gives the slot that is held to the next one. */
  pass: () => Promise<void>;
};

/** One slot, which is taken. */
function lineUp(): Line {
  const clock = new FakeClock();
  const slots = new Slots(1, clock, () => {});
  const served: string[] = [];
  let held: Slot | undefined = slots.tryTake();
  return {
    slots,
    clock,
    served,
    wait: async (share, name = share.projectId, signal = never) => {
      const slot = await slots.take(1_000, signal, share);
      served.push(slot === undefined ? `${name} left` : name);
      held = slot ?? held;
    },
    pass: async () => {
      const given = held;
      held = undefined;
      given?.release();
      await Promise.resolve();
      await Promise.resolve();
    },
  };
}

test('weights of 3 and 1 get three turns and one', async () => {
  const { served, wait, pass } = lineUp();
  const waiting = [...Array.from({ length: 20 }, () => wait(ONE)), ...Array.from({ length: 20 }, () => wait(THREE))];
  for (let turn = 1; turn <= 20; turn += 1) {
    await pass();
    const three = served.filter((name) => name === 'three').length;
    assert.ok(Math.abs(three - (turn * 3) / 4) <= 1, served.join(' '));
  }
  for (let turn = 0; turn < 20; turn += 1) await pass();
  await Promise.all(waiting);
});

test('one who comes behind a hundred of another is next, and in a project the first comes first', async () => {
  const { served, wait, pass } = lineUp();
  const waiting = Array.from({ length: 100 }, (_, index) => wait(ONE, `one ${index}`));
  for (let turn = 0; turn < 4; turn += 1) await pass();
  waiting.push(wait({ projectId: 'late', weight: 1 }, 'late'));
  for (let turn = 0; turn < 97; turn += 1) await pass();
  await Promise.all(waiting);
  const others = served.filter((name) => name !== 'late');
  assert.deepEqual(
    others,
    others.map((_, index) => `one ${index}`),
  );
  assert.equal(served[4], 'late');
});

test('who was not waiting has saved no turns', async () => {
  const { served, wait, pass } = lineUp();
  const waiting = Array.from({ length: 20 }, () => wait(ONE));
  for (let turn = 0; turn < 10; turn += 1) await pass();
  waiting.push(...Array.from({ length: 10 }, () => wait({ projectId: 'back', weight: 1 })));
  for (let turn = 0; turn < 10; turn += 1) await pass();
  assert.equal(served.slice(10).filter((name) => name === 'back').length, 5);
  for (let turn = 0; turn < 10; turn += 1) await pass();
  await Promise.all(waiting);
});

test('who has left or waited long enough takes no turn', async () => {
  const { clock, served, wait, pass } = lineUp();
  const leaving = new AbortController();
  const left = wait(ONE, 'one', leaving.signal);
  const late = wait(ONE, 'late');
  leaving.abort(new Error('gone'));
  await assert.rejects(left, /gone/);
  clock.advance(1_000);
  await late;
  const next = wait(THREE);
  await pass();
  await next;
  assert.deepEqual(served, ['late left', 'three']);
});
