import type { StoredResponse } from '../domain/ports.ts';
import { foldLog } from '../domain/read-log.ts';
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

/** The committed state of a row: final bytes, or what its log says so far. */
export async function snapshotOf(deps: Pick<ResponsesDeps, 'store' | 'runs'>, row: StoredResponse): Promise<Snapshot> {
  if (row.snapshot !== null) return row.snapshot;
  return deps.runs.committed(row.projectId, row.id)?.response ?? (await foldLog(deps.store, row.no)).response;
}
