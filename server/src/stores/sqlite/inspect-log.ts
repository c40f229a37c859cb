import { decodeEvents } from '../../domain/chunk-codec.ts';
import { BrokenLog, Fold } from '../../domain/fold.ts';
import type { ReadOnlyDatabase } from './read-only.ts';

/** Whether the log of a response is what appends, fences, compaction and deletion leave. */

/** What a log says, as far as it can be read. */
export type WalkedLog = {
  chunks: number;
  /** Of the last chunk; -1 without one. */
  epoch: number;
  closed: boolean;
  fold: Fold;
  /** What is wrong first: what comes after it would only follow from it. Without content. */
  problem: string | undefined;
};

/**
 * @param kind `open`: of what has not ended, with every place; `ended`: perhaps compacted, which leaves gaps between
 * places and none between events; `emptied`: a tombstone, whose bodies are gone; `sealed`: bodies are not looked into
 */
export function walkLog(
  db: ReadOnlyDatabase,
  no: number,
  kind: 'open' | 'ended' | 'emptied' | 'sealed' | 'sealed and open',
): WalkedLog {
  const withoutGaps = kind === 'open' || kind === 'sealed and open';
  const sealed = kind === 'sealed' || kind === 'sealed and open';
  const log: WalkedLog = { chunks: 0, epoch: -1, closed: false, fold: new Fold(), problem: undefined };
  let lastN = -1;
  let nextSequence = 0;
  const rows = db.each(
    'select n, first_sequence, count, epoch, closed, body from chunk where response_no = ? order by n',
    no,
  );
  for (const row of rows) {
    const n = Number(row['n']);
    const count = Number(row['count']);
    if (withoutGaps && n !== lastN + 1) log.problem ??= `its log has no chunk ${lastN + 1}`;
    log.problem ??= placeProblem(log, { n, lastN, nextSequence, first: Number(row['first_sequence']), count });
    if (Number(row['epoch']) < log.epoch) log.problem ??= `the epoch falls at chunk ${n}`;
    log.chunks += 1;
    log.epoch = Number(row['epoch']);
    log.closed = row['closed'] === 1;
    lastN = n;
    nextSequence = Number(row['first_sequence']) + count;
    const body = row['body'];
    if (!(body instanceof Uint8Array)) log.problem ??= `chunk ${n} has no body`;
    else if (sealed) continue;
    else if (kind !== 'emptied') log.problem ??= bodyProblem(log.fold, body, n, nextSequence);
    else if (body.length > 0) log.problem ??= `chunk ${n} of a deleted response still has its body`;
  }
  return log;
}

type Place = { n: number; lastN: number; nextSequence: number; first: number; count: number };

function placeProblem(log: WalkedLog, { n, lastN, nextSequence, first, count }: Place): string | undefined {
  if (log.closed) return `chunk ${n} follows the closed one`;
  if (n <= lastN || count < 0) return `chunk ${n} is out of order`;
  if (first !== nextSequence) return `its log goes from event ${nextSequence - 1} to event ${first}`;
  return undefined;
}

/** Applies the events of a chunk to the fold, which is their dictionary, too. */
function bodyProblem(fold: Fold, body: Uint8Array, n: number, nextSequence: number): string | undefined {
  try {
    const first = fold.nextSequence;
    for (const event of decodeEvents(body, first, () => fold.response)) fold.apply(event);
    if (fold.nextSequence !== nextSequence) return `chunk ${n} does not hold the events it says`;
    return undefined;
  } catch (error) {
    // Other errors may quote what they could not read.
    const why = error instanceof BrokenLog || error instanceof RangeError ? `: ${error.message}` : '';
    return `chunk ${n} can't be decoded${why}`;
  }
}
