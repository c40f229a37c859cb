import { apiError } from '../domain/errors.ts';
import { MOST_READ } from '../domain/state-store.ts';
import type { Item, ItemsQuery } from '../domain/state-store.ts';
import type { Conversation } from '../protocol/conversation.ts';
import type { RequestItem } from '../protocol/items.ts';
import type { ListPage } from '../protocol/list.ts';
import { checkMayKeep, retrieveConversation } from './conversations.ts';
import type { ResponsesDeps } from './deps.ts';
import { expandInput } from './expand-input.ts';
import { cursorNotFound, pageOf } from './page-of.ts';

/** The items of a conversation (contract.md §1.8). */

type Deps = Pick<ResponsesDeps, 'store' | 'ids' | 'clock' | 'settings' | 'projects'>;

/** Answers with the items that were added, in their order. */
export async function addConversationItems(
  deps: Deps,
  projectId: string,
  id: string,
  items: readonly RequestItem[],
): Promise<ListPage<Item>> {
  await checkMayKeep(deps, projectId);
  const expanded = await expandInput(deps, projectId, [...items], []);
  const outcome = await deps.store.addItems(projectId, id, expanded);
  if (outcome === 'absent') throw apiError('conversation_not_found', { id });
  if (outcome === 'duplicate') throw apiError('conversation_item_exists');
  return pageOf(expanded, false);
}

export async function listConversationItems(
  deps: Deps,
  projectId: string,
  id: string,
  query: ItemsQuery,
): Promise<ListPage<Item>> {
  const page = await deps.store.listItems(projectId, id, query, MOST_READ);
  if (page.outcome === 'absent') throw apiError('conversation_not_found', { id });
  if (page.outcome === 'no_cursor') throw cursorNotFound(query, page.param);
  return pageOf(page.items, page.hasMore);
}

export async function retrieveConversationItem(
  deps: Deps,
  projectId: string,
  id: string,
  itemId: string,
): Promise<Item> {
  const item = await deps.store.findItem(projectId, id, itemId);
  if (item !== undefined) return item;
  await retrieveConversation(deps, projectId, id);
  throw apiError('conversation_item_not_found', { id, item: itemId });
}

/** Answers with the conversation (contract.md §1.8). */
export async function deleteConversationItem(
  deps: Deps,
  projectId: string,
  id: string,
  itemId: string,
): Promise<Conversation> {
  const conversation = await retrieveConversation(deps, projectId, id);
  if (!(await deps.store.deleteItem(projectId, id, itemId))) {
    throw apiError('conversation_item_not_found', { id, item: itemId });
  }
  return conversation;
}
