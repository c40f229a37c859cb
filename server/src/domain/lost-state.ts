import { BrokenLog, Fold } from './fold.ts';
import { initialResponse } from './initial-response.ts';
import type { OwnedResponse, Store, StoredResponse } from './ports.ts';
import { foldReadable } from './read-log.ts';

type Row = Pick<StoredResponse, 'no' | 'id' | 'createdAt' | 'model' | 'background'>;

/**
 * The state of an unfinished response of which nothing can be read any more, because its key is lost or its log is: what
 * its row says in clear. What it was asked is not known.
 * @param nextSequence the number of the event that would come next
 */
export function lostState({ id, createdAt, model, background }: Row, nextSequence: number): Fold {
  const nothing = { previousResponseId: null, conversation: null };
  const asked = initialResponse(id, createdAt, { background, store: false }, model, nothing);
  const state = new Fold();
  state.apply({ type: 'response.created', sequence_number: 0, response: { ...asked, status: 'in_progress' } });
  state.nextSequence = nextSequence;
  return state;
}

/** What the log of an unfinished response says, as far as it can be read, or its row alone; and what is wrong with it. */
export async function readableState(
  store: Pick<Store, 'read'>,
  row: Row,
): Promise<{ state: Fold; damage: BrokenLog | undefined }> {
  const { state, damage } = await foldReadable(store, row.no);
  // An end that something follows is none.
  if (state.started && !(state.ended && damage !== undefined)) return { state, damage };
  return { state: lostState(row, 0), damage: damage ?? new BrokenLog('it is gone') };
}

/** What the error of a response says that was ended because of its log. @param from the first event that can't be read */
export function damagedFrom(from: number): string {
  return `The log of this response is damaged: what it said from event ${from} on can not be read any more.`;
}

/** The same of one whose request can't be read. */
export const LOST = {
  key: 'The key of this response is lost, so that what it was asked can not be read any more.',
  request: 'What this response was asked is damaged, and can not be read any more.',
} as const satisfies Record<NonNullable<OwnedResponse['lost']>, string>;
