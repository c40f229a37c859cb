import type { Chain, ConversationContext, ConversationPlace, Item } from '../../domain/state-store.ts';
import { conversationNo } from './conversations.ts';
import type { Database, Row } from './database.ts';
import { decodeItem } from './items.ts';
import { VISIBLE, decodeOutput, decodeRequest, placeOf } from './rows.ts';

/** What came before a request: the chain of responses it names, or its conversation. */

type Link = { input: Item[]; output: Item[] };

export function readChain(db: Database, projectId: string, id: string, now: number, maxBytes: number): Chain {
  const links: Link[] = [];
  let bytes = 0;
  for (let next: string | null = id; next !== null;) {
    const row = db.one(
      `select no, status, request, snapshot, previous_response_id, conversation_no, conversation_up_to
         from response where ${VISIBLE}`,
      next,
      projectId,
      now,
    );
    if (row === undefined || !canGoOn(db, row)) return { outcome: 'broken' };
    const no = Number(row['no']);
    bytes += sizeOf(row['request']) + sizeOf(row['snapshot']);
    if (bytes > maxBytes) return { outcome: 'too_large' };
    links.push({
      input: decodeRequest(db, no, row['request'])?.inputItems ?? [],
      output: decodeOutput(db, no, row['snapshot']),
    });
    const place = placeOf(row);
    if (place !== null) {
      const before = itemsUpTo(db, place);
      if (before === undefined) return { outcome: 'broken' };
      links.push({ input: before, output: [] });
    }
    next = typeof row['previous_response_id'] === 'string' ? row['previous_response_id'] : null;
  }
  return { outcome: 'read', items: links.toReversed().flatMap(({ input, output }) => [...input, ...output]) };
}

/**
 * Nobody goes on from what has failed or was cancelled (contract.md §1.1, `previous_response_id`), nor from what is
 * under zero data retention: that has said `store: false`.
 */
export function canGoOn(db: Database, { no, status }: Row): boolean {
  return (status === 'completed' || status === 'incomplete') && !db.bodies.isSealed(Number(no));
}

export function readConversation(db: Database, projectId: string, id: string, maxBytes: number): ConversationContext {
  const no = conversationNo(db, projectId, id);
  if (no === undefined) return { outcome: 'absent' };
  const size = db.one('select sum(length(item)) as size from conversation_item where conversation_no = ?', no);
  if (Number(size?.['size'] ?? 0) > maxBytes) return { outcome: 'too_large' };
  const place = { no, upTo: newestItem(db, no) };
  return { outcome: 'read', items: itemsUpTo(db, place) ?? [], place, held: isHeld(db, no) };
}

/** Whether an unfinished background response will add to the conversation. */
export function isHeld(db: Database, conversation: number): boolean {
  return (
    db.one(
      "select 1 from response where conversation_no = ? and status in ('queued', 'in_progress') limit 1",
      conversation,
    ) !== undefined
  );
}

export function newestItem(db: Database, conversation: number): number {
  const row = db.one('select max(no) as newest from conversation_item where conversation_no = ?', conversation);
  return Number(row?.['newest'] ?? 0);
}

/** Undefined when the conversation was deleted. */
function itemsUpTo(db: Database, { no, upTo }: ConversationPlace): Item[] | undefined {
  if (db.one('select 1 from conversation where no = ?', no) === undefined) return undefined;
  return db
    .all('select item from conversation_item where conversation_no = ? and no <= ? order by no', no, upTo)
    .map((row) => decodeItem(row['item']));
}

function sizeOf(bytes: unknown): number {
  return bytes instanceof Uint8Array ? bytes.length : 0;
}
