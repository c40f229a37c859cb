import assert from 'node:assert/strict';
import test from 'node:test';
import { canBecome, isEnded, terminalEventType } from '../../server/src/domain/status.ts';
import { lingerMs } from '../../server/src/worker/linger.ts';

const ALL = ['queued', 'in_progress', 'completed', 'failed', 'incomplete', 'cancelled'] as const;

test('nothing leaves an end, and every end is reached from where the contract says', () => {
  const steps = ALL.flatMap((from) => ALL.filter((to) => canBecome(from, to)).map((to) => `${from} ${to}`));
  assert.deepEqual(steps, [
    'queued in_progress',
    'queued failed',
    'queued cancelled',
    'in_progress completed',
    'in_progress failed',
    'in_progress incomplete',
    'in_progress cancelled',
  ]);
  assert.deepEqual(ALL.filter(isEnded), ['completed', 'failed', 'incomplete', 'cancelled']);
});

test('a cancelled stream ends with response.failed: clients know no other event for it', () => {
  assert.equal(terminalEventType('cancelled'), 'response.failed');
  assert.equal(terminalEventType('failed'), 'response.failed');
  assert.equal(terminalEventType('completed'), 'response.completed');
  assert.equal(terminalEventType('incomplete'), 'response.incomplete');
});

test('deltas linger longer the more responses run, never longer than 40 ms', () => {
  assert.equal(lingerMs(1), 0);
  assert.equal(lingerMs(30), 5);
  assert.equal(lingerMs(100), 40);
  assert.equal(lingerMs(10_000), 40);
  for (let live = 1; live < 300; live += 1) assert.ok(lingerMs(live) <= lingerMs(live + 1));
});
