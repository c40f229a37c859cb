import { apiError } from '../domain/errors.ts';
import type { Hint } from '../domain/ports.ts';
import type { ResponsesDeps } from './deps.ts';
import { retrieveResponse } from './retrieve.ts';
import type { Retrieved } from './retrieve.ts';
import { isFinal } from './snapshot.ts';
import { isTerminal } from './tail.ts';

/**
 * `GET /v1/responses/{id}?wait=SECONDS`: the snapshot at the end of the response, or when the time is over. It holds
 * one subscription and no place in the queue of the store; it is no reader, so text does not hurry for it.
 */

/** Hints can be lost between nodes, never in one process; this bounds the wait all the same. */
const RECHECK_MS = 15_000;

type End = 'ended' | 'deleted' | 'over';

/**
 * Throws response_not_found when there is none, or it is deleted meanwhile.
 * @param ms how long to wait at most
 * @param signal aborts when the client leaves: then it rejects
 */
export async function waitForResponse(
  deps: ResponsesDeps,
  projectId: string,
  id: string,
  ms: number,
  signal: AbortSignal,
): Promise<Retrieved> {
  const over = new AbortController();
  const timer = deps.clock.timer(ms, () => {
    over.abort();
  });
  // Before the first look: what is announced between looking and waiting is in the latch.
  const subscription = deps.hints.subscribe(id, RECHECK_MS, AbortSignal.any([signal, over.signal]), 'end');
  try {
    for (;;) {
      const retrieved = await retrieveResponse(deps, projectId, id);
      if (isFinal(retrieved.snapshot) || over.signal.aborted) return retrieved;
      const end = await nextEnd(() => subscription.next(), over.signal);
      if (end === 'deleted') throw apiError('response_not_found', { id });
    }
  } finally {
    subscription.close();
    timer.cancel();
  }
}

/** Resolves when there is a reason to look: `ended` is a guess, the log is the truth. */
async function nextEnd(next: () => Promise<Hint | undefined>, over: AbortSignal): Promise<End> {
  let leaving = false;
  for (;;) {
    let hint: Hint | undefined;
    try {
      hint = await next();
    } catch (error) {
      if (over.aborted) return 'over';
      throw error;
    }
    if (hint?.gone === true) return 'deleted';
    if (hint === undefined) return 'ended';
    leaving ||= hint.leaving === true;
    const last = hint.events?.at(-1);
    // What is being deleted is cancelled first; that end is not the answer.
    if (!leaving && (last === undefined || isTerminal(last))) return 'ended';
  }
}
