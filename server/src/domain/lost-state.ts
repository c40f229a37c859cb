import { Fold } from './fold.ts';
import { initialResponse } from './initial-response.ts';
import type { OwnedResponse } from './ports.ts';

/**
 * The state of an unfinished response whose key is lost: what its row says in clear, and the place of its log, so that
 * it can be ended. What it was asked is not known any more.
 */
export function lostState({ id, createdAt, model, background, tail }: OwnedResponse): Fold {
  const nothing = { previousResponseId: null, conversation: null };
  const asked = initialResponse(id, createdAt, { background, store: false }, model, nothing);
  const state = new Fold();
  state.apply({ type: 'response.created', sequence_number: 0, response: { ...asked, status: 'in_progress' } });
  state.nextSequence = tail.nextSequence;
  return state;
}
