import { StoreUnavailable } from '../domain/ports.ts';
import type { Clock, Log, Store } from '../domain/ports.ts';
import type { Owner } from './recover.ts';

/** Ends what has waited in the queue for longer than `queue.max_wait`. */

/** Each brings its request into memory; their ends share a commit. */
const TAKEN_AT_ONCE = 16;

type Deps = { store: Pick<Store, 'takeOverdue'>; clock: Clock; log: Log };

/** Resolves when none is left, or the worker stops. What fails is there for the next time. */
export async function endOverdue(
  deps: Deps,
  owner: Pick<Owner, 'workerId' | 'giveUp'>,
  maxWaitMs: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    while (!signal.aborted) {
      const until = deps.clock.now() - maxWaitMs;
      const overdue = await deps.store.takeOverdue(owner.workerId, until, TAKEN_AT_ONCE);
      await Promise.all(overdue.map((one) => owner.giveUp(one)));
      if (overdue.length > 0) deps.log.warn({ count: overdue.length }, 'responses have waited too long for a slot');
      if (overdue.length < TAKEN_AT_ONCE) return;
    }
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof StoreUnavailable)
      deps.log.warn({ err: error }, 'what waited too long has to wait for the store');
    else deps.log.error({ err: error }, 'what waited too long could not be ended; the next tick tries again');
  }
}

/** @param waitedMs since its creation */
export function overdueMessage(waitedMs: number): string {
  const seconds = Math.floor(waitedMs / 1_000);
  return `No slot was free for it in ${seconds} s, which is longer than a response may wait in the queue of this server (queue.max_wait).`;
}
