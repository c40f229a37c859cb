import { auditOf } from '../domain/audit.ts';
import type { Actor } from '../domain/audit.ts';
import { apiError } from '../domain/errors.ts';
import type { CancelPurpose } from '../domain/ports.ts';
import { isEnded } from '../domain/status.ts';
import type { ResponsesDeps } from './deps.ts';
import { findResponse } from './retrieve.ts';
import { snapshotOf } from './snapshot.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * `POST /v1/responses/{id}/cancel`: a fence that takes the response from its owner, then the closing events
 * (design.md §6.7). Answers when the end is durable, so a cancel that answered is never undone. Idempotent: an ended
 * background response is answered unchanged (contract.md §8).
 */

/** Somebody else is finishing it; this bounds the wait for their hint. */
const RECHECK_MS = 1_000;

export async function cancelResponse(
  deps: ResponsesDeps,
  projectId: string,
  id: string,
  signal: AbortSignal,
  actor: Actor = 'client',
): Promise<Snapshot> {
  const row = await findResponse(deps, projectId, id);
  if (!row.background) throw apiError('cancel_synchronous');
  if (!isEnded(row.status)) await endByCancel(deps, projectId, id, 'cancel', signal, actor);
  return snapshotOf(deps, await findResponse(deps, projectId, id));
}

/** Resolves when the response has ended, by this cancel or otherwise. */
export async function endByCancel(
  deps: ResponsesDeps,
  projectId: string,
  id: string,
  purpose: CancelPurpose,
  signal: AbortSignal,
  actor: Actor = 'client',
): Promise<void> {
  const subscription = deps.hints.subscribe(id, RECHECK_MS, signal);
  try {
    const now = deps.clock.now();
    const audit = auditOf(actor, now, 'response.cancel', id, { project: projectId });
    const fenced = await deps.store.fenceForCancel(projectId, id, deps.runs.workerId, now, audit);
    if (fenced.outcome === 'fenced') {
      deps.runs.abort(id);
      await deps.runs.finishCancel(fenced.response, purpose);
    }
    while (!isEnded((await findResponse(deps, projectId, id)).status)) await subscription.next();
  } finally {
    subscription.close();
  }
}
