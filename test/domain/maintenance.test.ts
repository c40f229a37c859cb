import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Store, SweepResult } from '../../server/src/domain/ports.ts';
import { Maintenance } from '../../server/src/worker/maintenance.ts';
import { silentLog } from '../support/chat-run.ts';
import { FakeClock } from '../support/clock.ts';

test('one round of housekeeping forgets all that is past its time, in batches', { timeout: 10_000 }, async () => {
  const left: SweepResult = { expired: 230, logs: 20, purged: 0, keys: 310 };
  const batches: SweepResult[] = [];
  const store: Pick<Store, 'accepts' | 'compact' | 'sweep'> = {
    accepts: () => true,
    compact: () => Promise.resolve(0),
    sweep: (_now, _purgeBefore, limit) => {
      const swept = { ...left };
      for (const kind of ['expired', 'logs', 'purged', 'keys'] as const) {
        swept[kind] = Math.min(left[kind], limit);
        left[kind] -= swept[kind];
      }
      batches.push(swept);
      return Promise.resolve(swept);
    },
  };
  const clock = new FakeClock();
  const ticked = Promise.withResolvers<void>();
  const worker = { checkSelf: () => Promise.resolve(), tick: ticked.resolve };
  const maintenance = new Maintenance({
    store: store as Store,
    clock,
    log: silentLog,
    worker,
    chores: [],
    leaseMs: 15_000,
  });
  clock.advance(1_000);
  await ticked.promise;
  await maintenance.stop();
  assert.deepEqual(
    batches.map(({ expired, keys }) => [expired, keys]),
    [
      [100, 100],
      [100, 100],
      [30, 100],
      [0, 10],
    ],
  );
});
