import type { InputItemResource } from '../protocol/list.ts';

/** What requests build on: the items of earlier responses and of conversations (contract.md §1.8, design.md §13). */

export type Item = InputItemResource;

/** `createdAt` in ms. */
export type StoredConversation = { id: string; createdAt: number; metadata: Record<string, string> };

/** How far a conversation was read: `upTo` is the number of its newest item then, 0 when it had none. */
export type ConversationPlace = { no: number; upTo: number };

/**
 * `after` and `before` are ids of items; both are exclusive, in the order of the page. With `before` alone the page is
 * the one that ends there, as a client goes back with the first id it has; then `hasMore` is about what is before it.
 */
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

export type FoundItems = { outcome: 'read'; items: (Item | undefined)[] } | { outcome: 'too_large' };

/**
 * The most that is read of what earlier requests have left, bytes as stored: what comes before one request, what it
 * refers to, or one page of items. More could not be sent as input either: the body limit of a request is as large by
 * default.
 */
export const MOST_READ = 32 * 1024 * 1024;

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
  /**
   * A page of what the input of a response was: what came before it, as far as it is still there, and its own. A page
   * is shorter than its limit when the next item would bring what is read for it over `maxBytes`, and holds one item at
   * least.
   */
  listInput(
    projectId: string,
    responseId: string,
    now: number,
    query: ItemsQuery,
    maxBytes: number,
  ): Promise<ItemsPage>;
  /**
   * The items with these ids out of responses and conversations, undefined for what is not there. `maxBytes` counts
   * what has to be read for them: the input or the output of a response as a whole.
   */
  findItems(projectId: string, ids: readonly string[], now: number, maxBytes: number): Promise<FoundItems>;

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
  /** A page is shorter than its limit when the next item would bring it over `maxBytes`, and holds one at least. */
  listItems(projectId: string, id: string, query: ItemsQuery, maxBytes: number): Promise<ItemsPage>;
  findItem(projectId: string, id: string, itemId: string): Promise<Item | undefined>;
  deleteItem(projectId: string, id: string, itemId: string): Promise<boolean>;
}
