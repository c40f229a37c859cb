import { endedState } from '../domain/ended-state.ts';
import type { Clock, End, Ids } from '../domain/ports.ts';
import type { Item } from '../domain/state-store.ts';
import { isEnded } from '../domain/status.ts';
import type { Response } from '../protocol/response.ts';

/**
 * What the closing chunk writes into the row.
 * @param inputItems the request's own
 * @param told whether webhooks tell of this end
 */
export function endOf(
  deps: { clock: Clock; ids: Ids; logRetentionMs: number; zdrRetentionMs: number },
  response: Response,
  inputItems: readonly Item[],
  told = true,
): End {
  if (!isEnded(response.status)) throw new Error(`response ${response.id} has not ended`);
  const doneAt = deps.clock.now();
  return {
    ...endedState(response, response.status, inputItems),
    doneAt,
    logExpiresAt: doneAt + deps.logRetentionMs,
    zdrExpiresAt: doneAt + deps.zdrRetentionMs,
    eventId: told ? deps.ids.item('evt') : null,
  };
}
