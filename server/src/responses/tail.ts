import { BrokenLog } from '../domain/fold.ts';
import { PAGE_BYTES, decodePage, foldLog } from '../domain/read-log.ts';
import type { Store, StoredResponse } from '../domain/ports.ts';
import type { ResponseEvent } from '../protocol/events.ts';
import type { Response } from '../protocol/response.ts';
import type { ResponsesDeps } from './deps.ts';
import { Held } from './held.ts';
import { HeldPage } from './held-page.ts';
import { parseSnapshot } from './snapshot.ts';
import { Turns } from './turns.ts';

/**
 * The one way to read a stream: live, resumed and finished (design.md §7). Reads the log; a hint only makes it look
 * sooner. Ends after the terminal event, or at once when the cursor is at or past the end of a finished one. Throws
 * LogGone when the log went away under the reader: the connection is cut then, since a clean close would look like a
 * complete stream.
 */

export class LogGone extends Error {}

/** Hints can be lost between nodes, never in one process; this bounds the wait all the same. */
const RECHECK_MS = 15_000;

/** Enough to keep the store's thread busy while one page is decoded. */
const pageReads = new Turns(3);

/**
 * The ended responses that are being replayed, by row. Each page of a log refers to its response, which may be a
 * thousand times as large as the page: parsed for every page, a long replay would take quadratic time.
 */
const replayed = new WeakMap<Store, Held<number, Response>>();

type Deps = Pick<ResponsesDeps, 'store' | 'hints' | 'runs' | 'clock'>;
type Row = Pick<StoredResponse, 'no' | 'id' | 'projectId'>;

/**
 * @param after the cursor: events with a greater sequence_number are yielded, in pages
 * @param known committed events right after the cursor that the caller has in hand
 */
export async function* tail(
  deps: Deps,
  row: Row,
  after: number,
  signal: AbortSignal,
  known: readonly ResponseEvent[] = [],
): AsyncGenerator<readonly ResponseEvent[], void, undefined> {
  // Before the first read: what is announced between reading and waiting is in the latch.
  const subscription = deps.hints.subscribe(row.id, RECHECK_MS, signal);
  try {
    let cursor = after;
    if (known.length > 0) {
      cursor += known.length;
      yield known;
    }
    for (;;) {
      if (!isAtHead(deps, row, cursor)) {
        const page = await pageReads.take(() => readPage(deps, row, cursor));
        if (page instanceof HeldPage) {
          try {
            for (let slice = page.take(); slice !== undefined; slice = page.take()) {
              const last = slice.at(-1);
              cursor = last?.sequence_number ?? cursor;
              yield slice;
              if (last !== undefined && isTerminal(last)) return;
            }
          } finally {
            page.drop();
          }
          continue;
        }
        if (page === 'closed') {
          // Whoever had something of it and not its end would take what follows for the end.
          if (cursor !== after) throw new LogGone(row.id);
          return;
        }
      }
      for (;;) {
        const hint = await subscription.next();
        if (hint?.gone === true) throw new LogGone(row.id);
        if (hint === undefined) await checkThere(deps, row);
        if (hint?.events === undefined || hint.firstSequence === undefined) break;
        const last = hint.events.at(-1);
        if (last === undefined) continue;
        if (last.sequence_number <= cursor) {
          if (isTerminal(last)) return; // the cursor was never reached
          continue;
        }
        if (hint.firstSequence > cursor + 1) break;
        const events =
          hint.firstSequence === cursor + 1 ? hint.events : hint.events.slice(cursor + 1 - hint.firstSequence);
        cursor = last.sequence_number;
        yield events;
        if (isTerminal(last)) return;
      }
    }
  } finally {
    subscription.close();
  }
}

/**
 * Whether the reader has all that is committed, known without asking the store: what is committed from now on is
 * announced to its subscription.
 */
function isAtHead(deps: Deps, row: Row, cursor: number): boolean {
  const running = deps.runs.committed(row.projectId, row.id);
  return running?.ended === false && running.nextSequence === cursor + 1;
}

/** What follows the cursor; `none` when nothing does yet, `closed` when nothing will. */
async function readPage(deps: Deps, row: Row, cursor: number): Promise<HeldPage | 'none' | 'closed'> {
  const page = await deps.store.read(row.no, cursor, PAGE_BYTES);
  if (page.chunks.length === 0) return page.closed ? 'closed' : 'none';
  return new HeldPage(deps.clock, await eventsOf(deps, row, page, cursor));
}

async function eventsOf(
  deps: Deps,
  row: Row,
  page: Parameters<typeof decodePage>[0],
  cursor: number,
): Promise<ResponseEvent[]> {
  const dictionary = await dictionaryOf(deps, row);
  try {
    return decodePage(page, cursor, dictionary);
  } catch (error) {
    if (error instanceof BrokenLog || error instanceof RangeError) throw new LogGone(row.id, { cause: error });
    throw error;
  }
}

/** The response as of now, which is later than the page that was read before, or final. */
async function dictionaryOf(deps: Deps, row: Row): Promise<() => Response> {
  const running = deps.runs.committed(row.projectId, row.id);
  if (running !== undefined) return () => running.response;
  const held = replayed.get(deps.store) ?? new Held<number, Response>();
  replayed.set(deps.store, held);
  const response = held.get(row.no) ?? (await parseStored(deps, row, held));
  return () => response;
}

async function parseStored(deps: Deps, row: Row, held: Held<number, Response>): Promise<Response> {
  const found = await deps.store.find(row.projectId, row.id, deps.clock.now());
  if (found === undefined) throw new LogGone(row.id);
  if (found.snapshot === null) return (await foldLog(deps.store, row.no)).response;
  const response = parseSnapshot(found.snapshot);
  held.put(deps.clock, row.no, response, found.snapshot.byteLength);
  return response;
}

async function checkThere(deps: Deps, row: Row): Promise<void> {
  const now = deps.clock.now();
  const found = await deps.store.find(row.projectId, row.id, now);
  if (found === undefined || (found.logExpiresAt !== null && found.logExpiresAt <= now)) throw new LogGone(row.id);
}

export function isTerminal(event: ResponseEvent): boolean {
  return (
    event.type === 'response.completed' || event.type === 'response.failed' || event.type === 'response.incomplete'
  );
}
