import type { InputItemResource } from '../protocol/list.ts';

/** What requests build on: the items of earlier responses and of conversations (contract.md §1.8, design.md §13). */

export type Item = InputItemResource;

/** `createdAt` in ms. */
export type StoredConversation = { id: string; createdAt: number; metadata: Record<string, string> };

/** How far a conversation was read: `upTo` is the number of its newest item then, 0 when it had none. */
export type ConversationPlace = { no: number; upTo: number };

/** `after` and `before` are ids of items; both are exclusive, in the order of the page. */
export type ItemsQuery = {
  limit: number;
  order: 'asc' | 'desc';
  after?: string | undefined;
  before?: string | undefined;
};

export type ItemsPage =
  | { outcome: 'page'; items: Item[]; hasMore: boolean }
  | { outcome: 'absent' }
  /** The item that a cursor names is not there. */
  | { outcome: 'no_cursor'; param: 'after' | 'before' };

export type Chain = { outcome: 'read'; items: Item[] } | { outcome: 'broken' } | { outcome: 'too_large' };

export type ConversationContext =
  | { outcome: 'read'; items: Item[]; place: ConversationPlace; held: boolean }
  | { outcome: 'absent' }
  | { outcome: 'too_large' };

/** A part of the port `Store`; the same rules hold. */
export interface StateStore {
  /**
   * Input and output of a response and of all before it, oldest first. `broken` when a link is unknown, another
   * project's, forgotten, or did not end as completed or incomplete. `maxBytes` counts what is stored of it.
   */
  readChain(projectId: string, responseId: string, now: number, maxBytes: number): Promise<Chain>;
  /** All items, oldest first. `held`: an unfinished background response will add to it. */
  readConversation(projectId: string, id: string, maxBytes: number): Promise<ConversationContext>;
  /** What the input of a response was: what came before it, as far as it is still there, and its own. */
  findInput(projectId: string, responseId: string, now: number): Promise<Item[] | undefined>;
  /** The items with these ids out of responses and conversations, undefined for what is not there. */
  findItems(projectId: string, ids: readonly string[], now: number): Promise<(Item | undefined)[]>;

  createConversation(projectId: string, conversation: StoredConversation, items: readonly Item[]): Promise<void>;
  findConversation(projectId: string, id: string): Promise<StoredConversation | undefined>;
  setMetadata(
    projectId: string,
    id: string,
    metadata: StoredConversation['metadata'],
  ): Promise<StoredConversation | undefined>;
  /** With all its items. What runs over it goes on. */
  deleteConversation(projectId: string, id: string): Promise<boolean>;
  /** All or none: `duplicate` when it has an item of one of these ids. */
  addItems(projectId: string, id: string, items: readonly Item[]): Promise<'added' | 'absent' | 'duplicate'>;
  listItems(projectId: string, id: string, query: ItemsQuery): Promise<ItemsPage>;
  findItem(projectId: string, id: string, itemId: string): Promise<Item | undefined>;
  deleteItem(projectId: string, id: string, itemId: string): Promise<boolean>;
}
