import type { StoredResponse } from '../domain/ports.ts';
import { apiError } from '../domain/errors.ts';
import { readableState } from '../domain/lost-state.ts';
import { isEnded } from '../domain/status.ts';
import type { Response } from '../protocol/response.ts';
import type { ResponsesDeps } from './deps.ts';

/** The bytes as they are stored, or the Response of one that runs. */
export type Snapshot = Uint8Array | Response;

/** Whether it can change no more. */
export function isFinal(snapshot: Snapshot): boolean {
  return snapshot instanceof Uint8Array || isEnded(snapshot.status);
}

export function parseSnapshot(bytes: Uint8Array): Response {
  return JSON.parse(new TextDecoder().decode(bytes)) as Response; // written from a Response
}

/** The committed state of a row: final bytes, or what its log says so far, of one that is damaged what can be read. */
export async function snapshotOf(
  deps: Pick<ResponsesDeps, 'store' | 'runs' | 'clock'>,
  row: StoredResponse,
): Promise<Snapshot> {
  if (row.snapshot !== null) return row.snapshot;
  const running = deps.runs.committed(row.projectId, row.id);
  if (running !== undefined) return running.response;
  const { state, damage } = await readableState(deps.store, row);
  if (damage === undefined) return state.response;
  // It may have been deleted, and so emptied, since the row was read.
  const now = await deps.store.find(row.projectId, row.id, deps.clock.now());
  if (now === undefined) throw apiError('response_not_found', { id: row.id });
  return now.snapshot ?? state.response;
}
