import { pageBack } from '../../domain/page-back.ts';
import type { Item, ItemsPage, ItemsQuery, StoredConversation } from '../../domain/state-store.ts';
import type { Database, Row } from './database.ts';
import { decodeItem, encodeItem, itemAt } from './items.ts';
import { isDeletedProject } from './projects.ts';

/** Conversations and their items (contract.md §1.8). The order of the items is that of their numbers. */

export function createConversation(
  db: Database,
  projectId: string,
  conversation: StoredConversation,
  items: readonly Item[],
): void {
  if (isDeletedProject(db, projectId)) return;
  const no = db.insert(
    'insert into conversation (id, project_id, metadata, created_at) values (?, ?, ?, ?)',
    conversation.id,
    projectId,
    encodeMetadata(conversation.metadata),
    conversation.createdAt,
  );
  appendItems(db, no, items);
}

export function findConversation(db: Database, projectId: string, id: string): StoredConversation | undefined {
  const row = db.one(
    'select id, metadata, created_at from conversation where id = ? and project_id = ?',
    id,
    projectId,
  );
  return row === undefined ? undefined : toConversation(row);
}

export function setMetadata(
  db: Database,
  projectId: string,
  id: string,
  metadata: StoredConversation['metadata'],
): StoredConversation | undefined {
  const bytes = encodeMetadata(metadata);
  db.run('update conversation set metadata = ? where id = ? and project_id = ?', bytes, id, projectId);
  return findConversation(db, projectId, id);
}

export function deleteConversation(db: Database, projectId: string, id: string): boolean {
  const no = conversationNo(db, projectId, id);
  if (no === undefined) return false;
  db.run('delete from conversation_item where conversation_no = ?', no);
  db.run('delete from conversation where no = ?', no);
  return true;
}

export function addItems(
  db: Database,
  projectId: string,
  id: string,
  items: readonly Item[],
): 'added' | 'absent' | 'duplicate' {
  const no = conversationNo(db, projectId, id);
  if (no === undefined) return 'absent';
  if (items.some((item) => itemNo(db, no, item.id) !== undefined)) return 'duplicate';
  appendItems(db, no, items);
  return 'added';
}

export function listItems(db: Database, projectId: string, id: string, query: ItemsQuery, maxBytes: number): ItemsPage {
  const no = conversationNo(db, projectId, id);
  if (no === undefined) return { outcome: 'absent' };
  for (const param of ['after', 'before'] as const) {
    const cursor = query[param];
    if (cursor !== undefined && itemNo(db, no, cursor) === undefined) return { outcome: 'no_cursor', param };
  }
  const read = (wanted: ItemsQuery) => readItems(db, no, Number.MAX_SAFE_INTEGER, { ...wanted, maxBytes });
  return { outcome: 'page', ...pageBack(query, read) };
}

/** A page of the items up to the number `upTo`, whose cursors are there. Sizes first: a page is read as far as it fits. */
export function readItems(
  db: Database,
  conversation: number,
  upTo: number,
  { order, limit, after, before, maxBytes }: ItemsQuery & { maxBytes: number },
): { items: Item[]; hasMore: boolean } {
  const [oldest, newest] = order === 'asc' ? [after, before] : [before, after];
  const low = oldest === undefined ? undefined : itemNo(db, conversation, oldest);
  const high = newest === undefined ? undefined : itemNo(db, conversation, newest);
  const rows = db.all(
    `select no, length(item) as size from conversation_item where conversation_no = ? and no > ? and no < ?
      order by no ${order} limit ?`,
    conversation,
    low ?? 0,
    high ?? upTo + 1,
    limit + 1,
  );
  let left = maxBytes;
  const fitting = rows.slice(0, limit).filter(({ size }, index) => {
    left -= Number(size);
    return index === 0 || left >= 0;
  });
  return { items: fitting.map(({ no }) => itemAt(db, Number(no))), hasMore: rows.length > fitting.length };
}

export function findItem(db: Database, projectId: string, id: string, itemId: string): Item | undefined {
  const no = conversationNo(db, projectId, id);
  if (no === undefined) return undefined;
  const row = db.one('select item from conversation_item where id = ? and conversation_no = ?', itemId, no);
  return row === undefined ? undefined : decodeItem(row['item']);
}

export function deleteItem(db: Database, projectId: string, id: string, itemId: string): boolean {
  const no = conversationNo(db, projectId, id);
  if (no === undefined) return false;
  return db.run('delete from conversation_item where id = ? and conversation_no = ?', itemId, no) > 0;
}

/**
 * What a response that has ended adds to its conversation, in the transaction of its end. Nothing, when the
 * conversation was deleted meanwhile. Ids were free when the turn began: an item that is there by now keeps its place,
 * and another one that has taken its id meanwhile takes nothing away: the item gets an id beside it.
 */
export function addTurn(db: Database, conversation: number, items: readonly Item[]): void {
  if (db.one('select 1 from conversation where no = ?', conversation) === undefined) return;
  for (const item of items) {
    const found = db.one(
      'select item from conversation_item where id = ? and conversation_no = ?',
      item.id,
      conversation,
    )?.['item'];
    if (!(found instanceof Uint8Array)) appendItems(db, conversation, [item]);
    else if (Buffer.compare(found, encodeItem(item)) !== 0) {
      appendItems(db, conversation, [{ ...item, id: freeId(db, conversation, item.id) }]);
    }
  }
}

/** Numbers of items only grow, so the first try is taken only by who has chosen it on purpose. */
function freeId(db: Database, conversation: number, id: string): string {
  const newest = db.one('select max(no) as newest from conversation_item')?.['newest'];
  for (let number = Number(newest ?? 0) + 1; ; number += 1) {
    const free = `${id}_${number}`;
    if (itemNo(db, conversation, free) === undefined) return free;
  }
}

export function conversationNo(db: Database, projectId: string, id: string): number | undefined {
  const row = db.one('select no from conversation where id = ? and project_id = ?', id, projectId);
  return row === undefined ? undefined : Number(row['no']);
}

export function itemNo(db: Database, conversation: number, id: string): number | undefined {
  const row = db.one('select no from conversation_item where id = ? and conversation_no = ?', id, conversation);
  return row === undefined ? undefined : Number(row['no']);
}

function appendItems(db: Database, conversation: number, items: readonly Item[]): void {
  for (const item of items) {
    db.run(
      'insert into conversation_item (conversation_no, id, item) values (?, ?, ?) on conflict do nothing',
      conversation,
      item.id,
      encodeItem(item),
    );
  }
}

function encodeMetadata(metadata: StoredConversation['metadata']): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(metadata));
}

function toConversation(row: Row): StoredConversation {
  const bytes = row['metadata'];
  if (!(bytes instanceof Uint8Array)) throw new TypeError('metadata is not a blob');
  return {
    id: String(row['id']),
    createdAt: Number(row['created_at']),
    metadata: JSON.parse(new TextDecoder().decode(bytes)) as StoredConversation['metadata'], // written by encodeMetadata
  };
}
