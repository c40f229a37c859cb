import { mergeBodies } from '../../domain/chunk-codec.ts';
import { insertChunk } from './chunks.ts';
import type { Database, Row } from './database.ts';

/**
 * Compaction: the small chunks of an ended log become few large ones with the same events. On live traffic a chunk
 * is one event; without this neither small storage nor fast replay exists (design.md §5).
 */

/** Some three thousand text events, or 700 kB of SSE: what a reader decodes and writes in one go. */
const CHUNK_BYTES = 16 * 1024;
/** Rows that one call reads of one log, so that no transaction holds the store for more than a few ms. */
const SLICE_ROWS = 1_000;

export function compact(db: Database, limit: number): number {
  const rows = db.all('select no from response where log_state = 1 order by no limit ?', limit);
  for (const row of rows) compactSlice(db, Number(row['no']));
  return rows.length;
}

function compactSlice(db: Database, no: number): void {
  const rows = db.all(
    `select n, first_sequence, count, epoch, closed, body from chunk
      where response_no = ? and length(body) < ? order by n limit ?`,
    no,
    CHUNK_BYTES / 2,
    SLICE_ROWS,
  );
  for (const group of groups(rows)) if (group.length > 1) mergeRows(db, no, group);
  if (rows.length < SLICE_ROWS) db.run('update response set log_state = 2 where no = ?', no);
}

/** Neighbours whose bodies together make about one chunk. A row that is large enough already ends a group. */
function groups(rows: readonly Row[]): Row[][] {
  const made: Row[][] = [];
  let bytes = CHUNK_BYTES;
  let nextSequence = -1;
  for (const row of rows) {
    const size = row['body'] instanceof Uint8Array ? row['body'].length : 0;
    const follows = Number(row['first_sequence']) === nextSequence;
    if (bytes + size > CHUNK_BYTES || !follows) {
      made.push([]);
      bytes = 0;
    }
    made.at(-1)?.push(row);
    bytes += size;
    nextSequence = Number(row['first_sequence']) + Number(row['count']);
  }
  return made;
}

function mergeRows(db: Database, no: number, rows: readonly Row[]): void {
  const first = rows[0];
  const last = rows.at(-1);
  if (first === undefined || last === undefined) return;
  db.run('delete from chunk where response_no = ? and n between ? and ?', no, Number(first['n']), Number(last['n']));
  insertChunk(db, no, {
    n: Number(last['n']),
    firstSequence: Number(first['first_sequence']),
    count: rows.reduce((sum, row) => sum + Number(row['count']), 0),
    epoch: Number(last['epoch']),
    closed: last['closed'] === 1,
    body: mergeBodies(rows.map((row) => bodyOf(db, no, row))),
  });
}

function bodyOf(db: Database, no: number, row: Row): Uint8Array {
  return row['body'] instanceof Uint8Array ? db.bodies.open(no, Number(row['n']), row['body']) : new Uint8Array(0);
}
