import { ApiError, apiError } from '../domain/errors.ts';
import { endByCancel } from './cancel.ts';
import type { ResponsesDeps } from './deps.ts';

/** Somebody else may be ending it, and may have failed to, ms. */
const END_MS = 15_000;

/** `DELETE /v1/responses/{id}`: cancelled first if it has not ended, then emptied and hidden (design.md §5). */
export async function deleteResponse(
  deps: ResponsesDeps,
  projectId: string,
  id: string,
  signal: AbortSignal,
): Promise<{ id: string; object: 'response'; deleted: true }> {
  let outcome = await deps.store.delete(projectId, id, deps.clock.now());
  if (outcome === 'unfinished') {
    deps.hints.announce(id, { leaving: true });
    const late = new AbortController();
    const timer = deps.clock.timer(END_MS, () => {
      late.abort(new Error('nobody has ended it'));
    });
    try {
      await endByCancel(deps, projectId, id, 'delete', AbortSignal.any([signal, late.signal]));
      outcome = await deps.store.delete(projectId, id, deps.clock.now());
    } catch (error) {
      if (signal.aborted || error instanceof ApiError) throw error;
      // What can't be ended can be forgotten all the same.
      deps.log.error({ err: error, response_id: id }, 'this response could not be ended; it is deleted as it is');
      deps.runs.abort(id);
      outcome = await deps.store.delete(projectId, id, deps.clock.now(), 'forced');
      deps.limiter.settle(id, 'uncounted');
    } finally {
      timer.cancel();
    }
  }
  if (outcome !== 'deleted') throw apiError('response_not_found', { id });
  deps.hints.announce(id, { gone: true });
  return { id, object: 'response', deleted: true };
}
