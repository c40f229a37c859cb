import type { Fold } from '../domain/fold.ts';
import type { OwnedResponse } from '../domain/ports.ts';

/**
 * What to do with an orphan (design.md §8), decided after its fence is accepted, from the log up to it.
 * - `cancel`: somebody asked for it, whatever the log holds.
 * - `rerun` (policy 0): nothing past `in_progress` was logged, so nobody can tell.
 * - `fail` (policy 3): something was shown that can't be repeated, or it has been tried too often.
 */
export type Policy = 'cancel' | 'rerun' | 'fail';

export function choosePolicy(orphan: OwnedResponse, log: Fold, maxAttempts: number): Policy {
  if (orphan.cancelRequestedAt !== null) return 'cancel';
  if (log.response.output.length > 0) return 'fail';
  return orphan.attempt > maxAttempts ? 'fail' : 'rerun';
}

export const INTERRUPTED = 'The server stopped while this response was running; what had been produced is kept.';
export const TRIED_TOO_OFTEN = 'The server stopped each time it ran this response; it will not be tried again.';
