import { apiError } from '../domain/errors.ts';
import type { Fold } from '../domain/fold.ts';
import { readableState } from '../domain/lost-state.ts';
import type { Clock, StoredResponse } from '../domain/ports.ts';
import { isEnded } from '../domain/status.ts';
import type { Response } from '../protocol/response.ts';
import type { ResponsesDeps } from './deps.ts';
import { Held } from './held.ts';

/** The bytes as they are stored, the Response of one that was running, or one that runs. */
export type Snapshot = Uint8Array | Response | RunningSnapshot;

/** `render` gives the JSON of what is committed by then. */
export type RunningSnapshot = { render: () => string | Uint8Array };

/** Whether it can change no more. */
export function isFinal(snapshot: Snapshot): boolean {
  if (snapshot instanceof Uint8Array) return true;
  return !('render' in snapshot) && isEnded(snapshot.status);
}

/** Characters of output that take less than a millisecond to write. */
const LARGE = 64 * 1024;

/** JSON of large responses that run, and the number of events that it is the state after. */
const rendered = new Held<Fold, { sequence: number; json: Uint8Array }>();

/** Many may poll one response: what is large is written once for each of its committed states. */
export function runningSnapshot(clock: Clock, fold: Fold): RunningSnapshot {
  return {
    render: () => {
      if (fold.outputLength < LARGE) return JSON.stringify(fold.response);
      const held = rendered.get(fold);
      if (held?.sequence === fold.nextSequence) return held.json;
      const json = new TextEncoder().encode(JSON.stringify(fold.response));
      rendered.put(clock, fold, { sequence: fold.nextSequence, json }, json.byteLength);
      return json;
    },
  };
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
