import { endedState } from '../domain/ended-state.ts';
import type { Clock, End } from '../domain/ports.ts';
import type { Item } from '../domain/state-store.ts';
import { isEnded } from '../domain/status.ts';
import type { Response } from '../protocol/response.ts';

/** What the closing chunk writes into the row. `inputItems` are the request's own. */
export function endOf(
  deps: { clock: Clock; logRetentionMs: number },
  response: Response,
  inputItems: readonly Item[],
): End {
  if (!isEnded(response.status)) throw new Error(`response ${response.id} has not ended`);
  const doneAt = deps.clock.now();
  return {
    ...endedState(response, response.status, inputItems),
    doneAt,
    logExpiresAt: doneAt + deps.logRetentionMs,
  };
}
