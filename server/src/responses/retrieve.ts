import { apiError } from '../domain/errors.ts';
import type { StoredResponse } from '../domain/ports.ts';
import type { ResponseEvent } from '../protocol/events.ts';
import type { ResponsesDeps } from './deps.ts';
import { placeOf } from './queue-place.ts';
import type { QueuePlace } from './queue-place.ts';
import { runningSnapshot, snapshotOf } from './snapshot.ts';
import type { Snapshot } from './snapshot.ts';
import { tail } from './tail.ts';
import { Turns } from './turns.ts';

/** `GET /v1/responses/{id}`: what is committed, as JSON or as a stream from a cursor. */

/** A row comes with its snapshot, up to some MB: a thousand readers at once must not hold a thousand of them. */
export const rowReads = new Turns(16);

export type Retrieved = { snapshot: Snapshot; place: QueuePlace };

export async function retrieveResponse(deps: ResponsesDeps, projectId: string, id: string): Promise<Retrieved> {
  // A poll of what runs here is answered from memory, so that it does not queue behind commits.
  const running = deps.runs.committed(projectId, id);
  if (running !== undefined && !running.ended) {
    return { snapshot: runningSnapshot(deps.clock, running), place: { waitedMs: deps.runs.waitedMs(id) } };
  }
  const row = await findResponse(deps, projectId, id);
  const place = await placeOf(deps, row);
  return { snapshot: await snapshotOf(deps, row), place };
}

/**
 * Checks the row before the first event, so that a refusal is an HTTP error.
 * @param after the cursor, -1 for everything
 */
export async function resumeResponse(
  deps: ResponsesDeps,
  projectId: string,
  id: string,
  after: number,
  signal: AbortSignal,
): Promise<AsyncIterable<readonly ResponseEvent[]>> {
  const row = await rowReads.take(() => findResponse(deps, projectId, id));
  if (!row.background) throw apiError('not_streamable_foreground');
  if (!row.stream) throw apiError('not_streamable');
  return streamOf(deps, row, after, signal, 'stream_expired');
}

/** @param expired the row of the error table that says that its log is gone */
export function streamOf(
  deps: ResponsesDeps,
  { no, id, projectId, logExpiresAt }: StoredResponse,
  after: number,
  signal: AbortSignal,
  expired: 'stream_expired' | 'replay_expired',
): AsyncIterable<readonly ResponseEvent[]> {
  if (logExpiresAt !== null && logExpiresAt <= deps.clock.now()) {
    throw apiError(expired, { id, minutes: Math.round(deps.settings.logRetentionMs / 6_000) / 10 });
  }
  // Not the row, which holds a snapshot that may be large: a stream lasts as long as its reader likes.
  return tail(deps, { no, id, projectId }, after, signal);
}

export async function findResponse(
  deps: Pick<ResponsesDeps, 'store' | 'clock'>,
  projectId: string,
  id: string,
): Promise<StoredResponse> {
  const row = await deps.store.find(projectId, id, deps.clock.now());
  if (row === undefined) throw apiError('response_not_found', { id });
  return row;
}
