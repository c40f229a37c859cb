import { pageBack } from '../../domain/page-back.ts';
import type { ConversationPlace, Item, ItemsPage, ItemsQuery } from '../../domain/state-store.ts';
import { itemNo, readItems } from './conversations.ts';
import type { Database, Row } from './database.ts';
import { canGoOn } from './history.ts';
import { inputOf, outputOf } from './items.ts';
import { VISIBLE, placeOf } from './rows.ts';

/**
 * Pages of what a response was given. Its input lies in segments: its own items, input and output of each response
 * before it, the conversation. Only those that a page needs are read, so that a page costs what it shows and not what
 * lies before it.
 */
export function listInput(
  db: Database,
  projectId: string,
  id: string,
  now: number,
  query: ItemsQuery,
  maxBytes: number,
): ItemsPage {
  const row = db.one(`select ${LINK_COLUMNS} from response where ${VISIBLE}`, id, projectId, now);
  if (row === undefined) return { outcome: 'absent' };
  const newestFirst = segmentsBehind(db, projectId, row, now);
  for (const param of ['after', 'before'] as const) {
    const cursor = query[param];
    if (cursor === undefined) continue;
    if (!newestFirst.some((segment) => segment.holds(cursor))) return { outcome: 'no_cursor', param };
  }
  const page = pageBack(query, (wanted) => {
    const segments = wanted.order === 'desc' ? newestFirst : newestFirst.toReversed();
    return readSegments(segments, wanted, maxBytes);
  });
  return { outcome: 'page', ...page };
}

/** The cursors are in the segments. */
function readSegments(
  segments: readonly Segment[],
  query: ItemsQuery,
  maxBytes: number,
): { items: Item[]; hasMore: boolean } {
  const placeOfCursor = (cursor: string): number => segments.findIndex((segment) => segment.holds(cursor));
  const places = {
    after: query.after === undefined ? 0 : placeOfCursor(query.after),
    before: query.before === undefined ? segments.length - 1 : placeOfCursor(query.before),
  };
  const items: Item[] = [];
  let left = maxBytes;
  for (let place = places.after; place <= places.before; place += 1) {
    const segment = segments[place];
    if (segment === undefined) break;
    if (items.length > 0 && segment.size > left) return { items, hasMore: true };
    const part = segment.read({
      order: query.order,
      // One more than fits tells whether there is more.
      limit: query.limit + 1 - items.length,
      after: place === places.after ? query.after : undefined,
      before: place === places.before ? query.before : undefined,
      maxBytes: left,
    });
    items.push(...part.items);
    left -= segment.size;
    if (items.length > query.limit) return { items: items.slice(0, query.limit), hasMore: true };
    if (part.hasMore) return { items, hasMore: true };
  }
  return { items, hasMore: false };
}

type Read = ItemsQuery & { maxBytes: number };
type Segment = {
  /** Bytes that have to be read to know any item of it. */
  size: number;
  holds(id: string): boolean;
  read(query: Read): { items: Item[]; hasMore: boolean };
};

const LINK_COLUMNS = `no, status, length(request) as request_size, length(snapshot) as snapshot_size,
  previous_response_id, conversation_no, conversation_up_to`;

/** Newest first, up to the first that is not there any more. */
function segmentsBehind(db: Database, projectId: string, newest: Row, now: number): Segment[] {
  const segments = [requestSegment(db, newest)];
  let row = newest;
  for (;;) {
    const place = placeOf(row);
    if (place !== null) segments.push(conversationSegment(db, place));
    const previous = row['previous_response_id'];
    if (typeof previous !== 'string') return segments;
    const before = db.one(`select ${LINK_COLUMNS} from response where ${VISIBLE}`, previous, projectId, now);
    if (before === undefined || !canGoOn(db, before)) return segments;
    segments.push(outputSegment(db, before), requestSegment(db, before));
    row = before;
  }
}

function requestSegment(db: Database, row: Row): Segment {
  const no = Number(row['no']);
  return decoded(
    Number(row['request_size']),
    // Ids that clients choose are content: those of sealed responses are in no index.
    (id) => (db.bodies.isSealed(no) ? inputOf(db, no).some((item) => item.id === id) : isIndexed(db, no, id, 0)),
    () => inputOf(db, no),
  );
}

function outputSegment(db: Database, row: Row): Segment {
  const no = Number(row['no']);
  return decoded(
    Number(row['snapshot_size']),
    (id) => isIndexed(db, no, id, 1),
    () => outputOf(db, no),
  );
}

function isIndexed(db: Database, no: number, id: string, output: 0 | 1): boolean {
  return (
    db.one('select 1 from response_item where id = ? and response_no = ? and output = ?', id, no, output) !== undefined
  );
}

/** Known as a whole or not at all. */
function decoded(size: number, holds: Segment['holds'], load: () => Item[]): Segment {
  const read = ({ order, limit, after, before }: Read): { items: Item[]; hasMore: boolean } => {
    const items = order === 'asc' ? load() : load().toReversed();
    const from = after === undefined ? 0 : items.findIndex(({ id }) => id === after) + 1;
    const to = before === undefined ? items.length : items.findIndex(({ id }) => id === before);
    return { items: items.slice(from, Math.min(to, from + limit)), hasMore: false };
  };
  return { size, holds, read };
}

function conversationSegment(db: Database, { no, upTo }: ConversationPlace): Segment {
  const holds = (id: string): boolean => {
    const place = itemNo(db, no, id);
    return place !== undefined && place <= upTo;
  };
  // Its items are read one by one, and bounded there.
  return { size: 0, holds, read: (query) => readItems(db, no, upTo, query) };
}
