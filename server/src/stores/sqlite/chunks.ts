import type { Chunk, ChunkPage } from '../../domain/chunk.ts';
import type { Append, End } from '../../domain/ports.ts';
import { addTurn } from './conversations.ts';
import type { Database, Row } from './database.ts';
import { indexItems } from './items.ts';
import { tailOf } from './rows.ts';
import { addUsageOf } from './usage.ts';
import { enqueueDeliveries } from './webhooks.ts';

/**
 * The log. An append is a compare-and-swap on `n`: it needs an open predecessor and a free place (design.md §1). A
 * compacted chunk has the `n` of the last chunk it replaces, so there may be gaps: look up by `n >= x order by n`. A
 * place in a gap is not free, though the chunk before it may be open: the predecessor has to be the last chunk.
 */

/** Without the compare: for chunk 0 and for fences, made by whoever just read the tail in the same transaction. */
export function insertChunk(db: Database, no: number, chunk: Chunk): void {
  db.run(
    'insert into chunk (response_no, n, first_sequence, count, epoch, closed, body) values (?, ?, ?, ?, ?, ?, ?)',
    no,
    chunk.n,
    chunk.firstSequence,
    chunk.count,
    chunk.epoch,
    chunk.closed ? 1 : 0,
    db.bodies.seal(no, chunk.n, chunk.body),
  );
}

export function append(db: Database, appends: readonly Append[]): boolean[] {
  return appends.map(({ no, chunk, end }) => {
    if (!swapIn(db, no, chunk)) return isSame(db, no, chunk);
    if (end !== undefined) finish(db, no, end);
    return true;
  });
}

function swapIn(db: Database, no: number, chunk: Chunk): boolean {
  const changes = db.run(
    `insert into chunk (response_no, n, first_sequence, count, epoch, closed, body)
     select ?, ?, ?, ?, ?, ?, ?
      where exists (select 1 from chunk where response_no = ? and n = ? and closed = 0)
        and not exists (select 1 from chunk where response_no = ? and n > ?)
     on conflict do nothing`,
    no,
    chunk.n,
    chunk.firstSequence,
    chunk.count,
    chunk.epoch,
    chunk.closed ? 1 : 0,
    db.bodies.seal(no, chunk.n, chunk.body),
    no,
    chunk.n - 1,
    no,
    chunk.n - 1,
  );
  return changes === 1;
}

/** The same chunk, sent again because nobody knew whether its commit had happened. */
function isSame(db: Database, no: number, chunk: Chunk): boolean {
  const row = db.one(
    'select first_sequence, count, epoch, closed, body from chunk where response_no = ? and n = ?',
    no,
    chunk.n,
  );
  return (
    row !== undefined &&
    row['first_sequence'] === chunk.firstSequence &&
    row['count'] === chunk.count &&
    row['epoch'] === chunk.epoch &&
    row['closed'] === (chunk.closed ? 1 : 0) &&
    row['body'] instanceof Uint8Array &&
    Buffer.compare(db.bodies.open(no, chunk.n, row['body']), chunk.body) === 0
  );
}

function finish(db: Database, no: number, end: End): void {
  db.run(
    `update response set status = ?, snapshot = ?, done_at = ?, log_expires_at = ?, log_state = 1, worker_id = null,
       history = null where no = ?`,
    end.status,
    db.bodies.seal(no, 'snapshot', end.snapshot),
    end.doneAt,
    end.logExpiresAt,
    no,
  );
  if (db.bodies.isSealed(no))
    db.run('update response set expires_at = ? where no = ?', end.zdrExpiresAt ?? end.doneAt, no);
  else indexItems(db, no, end.outputIds, 'output');
  addUsageOf(db, no, end);
  enqueueDeliveries(db, no, end);
  if (end.turn.length === 0) return;
  const conversation = db.one('select conversation_no from response where no = ?', no)?.['conversation_no'];
  if (typeof conversation === 'number') addTurn(db, conversation, end.turn);
}

export function read(db: Database, no: number, after: number, maxBytes: number): ChunkPage {
  const tail = tailOf(db, no);
  if (tail === undefined) return { chunks: [], closed: false };
  if (after >= tail.nextSequence - 1) return { chunks: [], closed: tail.closed };
  const page: ChunkPage = { chunks: [], closed: false };
  let bytes = 0;
  let n = locate(db, no, after, tail.n);
  while (bytes < maxBytes) {
    const row = chunkAt(db, no, n);
    if (row === undefined) break;
    n = Number(row['n']) + 1;
    page.closed = row['closed'] === 1;
    if (!(row['body'] instanceof Uint8Array) || Number(row['count']) === 0) continue;
    const body = db.bodies.open(no, n - 1, row['body']);
    page.chunks.push({ firstSequence: Number(row['first_sequence']), count: Number(row['count']), body });
    bytes += body.length;
  }
  return page;
}

function chunkAt(db: Database, no: number, n: number): Row | undefined {
  return db.one(
    `select n, first_sequence, count, closed, body from chunk
      where response_no = ? and n >= ? order by n limit 1`,
    no,
    n,
  );
}

/** The place of the first chunk with an event after `after`, by bisection: `first_sequence` grows with `n`. */
function locate(db: Database, no: number, after: number, tailN: number): number {
  let low = 0;
  let high = after < 0 ? 0 : tailN;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const row = db.one(
      'select n, first_sequence, count from chunk where response_no = ? and n >= ? order by n limit 1',
      no,
      middle,
    );
    const last = row === undefined ? after + 1 : Number(row['first_sequence']) + Number(row['count']) - 1;
    if (last > after) high = middle;
    else low = Number(row?.['n'] ?? middle) + 1;
  }
  return low;
}
