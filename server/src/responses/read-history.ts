import { apiError } from '../domain/errors.ts';
import type { Store } from '../domain/ports.ts';
import { openItems } from '../domain/seal.ts';
import type { Seal } from '../domain/seal.ts';
import { MOST_READ } from '../domain/state-store.ts';
import type { ConversationPlace, Item } from '../domain/state-store.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { InputItem } from '../protocol/items.ts';

/** What came before a request: the chain of responses it names, or its conversation (design.md §13). */

export type History = {
  items: Item[];
  previousResponseId: string | null;
  conversation: (ConversationPlace & { id: string }) | null;
};

type Deps = { store: Pick<Store, 'readChain' | 'readConversation'>; clock: { now(): number } };
type Body = Partial<Pick<CreateResponseBody, 'previous_response_id' | 'conversation'>>;

/** @param options.mayBeHeld true for who only looks: a conversation that somebody holds can be read all the same */
export async function readHistory(
  deps: Deps,
  projectId: string,
  body: Body,
  options: { mayBeHeld?: boolean } = {},
): Promise<History> {
  const previous = body.previous_response_id ?? null;
  const conversation = idOf(body.conversation);
  if (conversation !== null) {
    if (previous !== null) throw apiError('history_twice');
    return readConversation(deps, projectId, conversation, options.mayBeHeld ?? false);
  }
  const none: History = { items: [], previousResponseId: null, conversation: null };
  return previous === null ? none : { ...none, ...(await readChain(deps, projectId, previous)) };
}

async function readChain(
  deps: Deps,
  projectId: string,
  id: string,
): Promise<Pick<History, 'items' | 'previousResponseId'>> {
  const chain = await deps.store.readChain(projectId, id, deps.clock.now(), MOST_READ);
  if (chain.outcome === 'broken') throw apiError('previous_response_not_found', { id });
  if (chain.outcome === 'too_large') throw apiError('history_too_large', { param: 'previous_response_id' });
  return { items: chain.items, previousResponseId: id };
}

async function readConversation(deps: Deps, projectId: string, id: string, mayBeHeld: boolean): Promise<History> {
  const read = await deps.store.readConversation(projectId, id, MOST_READ);
  if (read.outcome === 'absent') throw apiError('conversation_not_found', { id });
  if (read.outcome === 'too_large') throw apiError('history_too_large', { param: 'conversation' });
  if (read.held && !mayBeHeld) throw apiError('conversation_locked');
  return { items: read.items, previousResponseId: null, conversation: { ...read.place, id } };
}

/** What a provider is given: what came before, and the request's own items. */
export function openTurn(
  seal: Seal,
  projectId: string,
  history: History,
  inputItems: readonly Item[],
): { before: InputItem[]; input: InputItem[] } {
  const source = history.conversation === null ? 'previous_response_id' : 'conversation';
  return {
    before: openItems(seal, projectId, history.items, source),
    input: openItems(seal, projectId, inputItems, 'input'),
  };
}

function idOf(conversation: Body['conversation']): string | null {
  if (typeof conversation === 'string') return conversation;
  return conversation?.id ?? null;
}
