import type { Response } from '../protocol/response.ts';
import { countsOf } from './limits.ts';
import type { End } from './ports.ts';
import type { Item } from './state-store.ts';
import type { EndStatus } from './status.ts';

/**
 * What the store keeps of a response that has ended, but for the times. A conversation gets input and output of what
 * could be answered, wholly or in part: what failed or was cancelled would leave it with calls that nobody answers.
 */
export function endedState(
  response: Response,
  status: EndStatus,
  inputItems: readonly Item[],
): Omit<End, 'doneAt' | 'logExpiresAt' | 'eventId'> {
  const answered = status === 'completed' || status === 'incomplete';
  return {
    status,
    snapshot: new TextEncoder().encode(JSON.stringify(response)),
    usage: countsOf(response),
    outputIds: response.output.map((item) => item.id),
    turn: answered && response.conversation !== undefined ? [...inputItems, ...response.output] : [],
  };
}
