import type { Item } from '../../domain/state-store.ts';
import type { Database } from './database.ts';
import { VISIBLE_IN_RESPONSE, decodeOutput, decodeRequest } from './rows.ts';

/** Items by their ids: `response_item` says in which response an item is, conversations hold theirs themselves. */

/** An id that was used before keeps its first place. */
export function indexItems(db: Database, responseNo: number, ids: readonly string[]): void {
  for (const id of ids) {
    db.run('insert into response_item (id, response_no) values (?, ?) on conflict do nothing', id, responseNo);
  }
}

export function findItems(db: Database, projectId: string, ids: readonly string[], now: number): (Item | undefined)[] {
  /** Several references into one response decode it once. */
  const decoded = new Map<number, Item[]>();
  return ids.map((id) => inResponses(db, projectId, id, now, decoded) ?? inConversations(db, projectId, id));
}

function inResponses(
  db: Database,
  projectId: string,
  id: string,
  now: number,
  decoded: Map<number, Item[]>,
): Item | undefined {
  const row = db.one(
    `select response.no, request, snapshot from response_item join response on response.no = response_no
      where response_item.id = ? and project_id = ? and ${VISIBLE_IN_RESPONSE} order by response.no desc limit 1`,
    id,
    projectId,
    now,
  );
  if (row === undefined) return undefined;
  const no = Number(row['no']);
  const items = decoded.get(no) ?? [...decodeRequest(row['request']).inputItems, ...decodeOutput(row['snapshot'])];
  decoded.set(no, items);
  return items.find((item) => item.id === id);
}

function inConversations(db: Database, projectId: string, id: string): Item | undefined {
  const row = db.one(
    `select item from conversation_item join conversation on conversation.no = conversation_no
      where conversation_item.id = ? and project_id = ? order by conversation_item.no desc limit 1`,
    id,
    projectId,
  );
  return row === undefined ? undefined : decodeItem(row['item']);
}

export function encodeItem(item: Item): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(item));
}

export function decodeItem(bytes: unknown): Item {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('an item is not a blob');
  return JSON.parse(new TextDecoder().decode(bytes)) as Item; // written by encodeItem
}
