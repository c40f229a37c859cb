import type { Clock, End } from '../domain/ports.ts';
import { isEnded } from '../domain/status.ts';
import type { Response } from '../protocol/response.ts';

/** What the closing chunk writes into the row. */
export function endOf(deps: { clock: Clock; logRetentionMs: number }, response: Response): End {
  if (!isEnded(response.status)) throw new Error(`response ${response.id} has not ended`);
  const doneAt = deps.clock.now();
  return {
    status: response.status,
    snapshot: new TextEncoder().encode(JSON.stringify(response)),
    doneAt,
    logExpiresAt: doneAt + deps.logRetentionMs,
  };
}
