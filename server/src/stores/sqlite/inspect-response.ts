import type { StoredRequest } from '../../domain/ports.ts';
import { isEnded } from '../../domain/status.ts';
import type { Response, ResponseStatus } from '../../protocol/response.ts';
import type { Row } from './database.ts';
import { walkLog } from './inspect-log.ts';
import type { WalkedLog } from './inspect-log.ts';
import type { ReadOnlyDatabase } from './read-only.ts';

/** What is wrong with one response: its row, its log, its snapshot, the index of its items. Without content. */

const STATUSES: readonly unknown[] = [
  'queued',
  'in_progress',
  'completed',
  'failed',
  'incomplete',
  'cancelled',
] satisfies ResponseStatus[];

const OPEN = 0;
const NO_LOG = 3;

/** @param indexed whether this schema says on which side of a response an item is */
export function* inspectResponse(db: ReadOnlyDatabase, row: Row, indexed: boolean): Generator<string> {
  const no = Number(row['no']);
  if (!STATUSES.includes(row['status'])) {
    yield 'its status is none';
    return;
  }
  const ended = isEnded(row['status'] as ResponseStatus); // one of them, as was just seen
  if (row['deleted_at'] !== null) {
    yield* inspectTombstone(db, row, ended);
    return;
  }
  if ((row['zdr_slot'] ?? null) !== null) {
    yield* inspectSealed(db, row, ended);
    return;
  }
  const request = readJson(() => parseRequest(row['request']));
  if (request === undefined || !Array.isArray(request.inputItems)) yield "its request can't be read";
  if (row['history'] instanceof Uint8Array && readJson(() => parseBody(row['history'])) === undefined) {
    yield "what came before it can't be read";
  }
  const snapshot = ended ? readJson(() => parseSnapshot(row['snapshot'])) : undefined;
  if (ended) yield* inspectEnd(row, snapshot);
  else yield* inspectUnfinished(row);
  yield* inspectLog(db, row, ended);
  if (indexed && request !== undefined && (snapshot !== undefined || !ended)) {
    yield* inspectIndex(db, no, request, snapshot);
  }
}

function* inspectTombstone(db: ReadOnlyDatabase, row: Row, ended: boolean): Generator<string> {
  const no = Number(row['no']);
  const request = row['request'];
  if (!ended) yield 'it was deleted without an end';
  if (
    !(request instanceof Uint8Array) ||
    request.length > 0 ||
    row['snapshot'] !== null ||
    (row['history'] ?? null) !== null
  ) {
    yield 'it was deleted, and its content is still there';
  }
  const log = walkLog(db, no, 'emptied');
  if (log.problem !== undefined) yield log.problem;
  else if (log.chunks > 0 && !log.closed) yield 'it was deleted, and its log is open';
}

/** Its bodies are sealed, and keys are not touched from here: only their places can be right or wrong. */
function* inspectSealed(db: ReadOnlyDatabase, row: Row, ended: boolean): Generator<string> {
  if (!ended) yield* inspectUnfinished(row);
  if (row['log_state'] === NO_LOG) return;
  const log = walkLog(db, Number(row['no']), ended ? 'sealed' : 'sealed and open');
  if (log.problem !== undefined) yield log.problem;
  else if (ended !== log.closed)
    yield ended ? 'it has ended, and its log is open' : 'it has not ended, and its log is closed';
}

function* inspectEnd(row: Row, snapshot: Response | undefined): Generator<string> {
  if (snapshot === undefined) yield "it has ended, and its snapshot can't be read";
  else {
    if (snapshot.id !== row['id']) yield 'its snapshot is that of another response';
    if (snapshot.status !== row['status']) yield `its status is ${String(row['status'])}, its snapshot's is another`;
  }
  if (row['done_at'] === null || row['worker_id'] !== null || row['log_state'] === OPEN) {
    yield 'it has ended, and its row is that of one that runs';
  }
}

function* inspectUnfinished(row: Row): Generator<string> {
  if (row['done_at'] !== null || row['snapshot'] !== null || row['log_state'] !== OPEN) {
    yield 'it has not ended, and its row is that of one that has';
  }
}

function* inspectLog(db: ReadOnlyDatabase, row: Row, ended: boolean): Generator<string> {
  const log = walkLog(db, Number(row['no']), ended ? 'ended' : 'open');
  if (row['log_state'] === NO_LOG) {
    if (log.chunks > 0) yield 'its log was forgotten, and chunks of it are still there';
    return;
  }
  yield* log.problem === undefined ? inspectWholeLog(row, log, ended) : [log.problem];
}

function* inspectWholeLog(row: Row, log: WalkedLog, ended: boolean): Generator<string> {
  if (!log.fold.started) {
    yield 'its log is gone';
    return;
  }
  const { response } = log.fold;
  if (log.epoch !== Number(row['epoch'])) yield 'the epoch of its row is not that of its log';
  if (response.status !== row['status'])
    yield `its status is ${String(row['status'])}, its log says ${response.status}`;
  if (ended !== log.closed)
    yield ended ? 'it has ended, and its log is open' : 'it has not ended, and its log is closed';
  if (ended && !log.fold.ended) yield 'it has ended, and its log has no terminal event';
  if (!ended && log.fold.ended) yield 'it has not ended, and its log has a terminal event';
  const snapshot = row['snapshot'];
  if (
    ended &&
    snapshot instanceof Uint8Array &&
    Buffer.compare(snapshot, Buffer.from(JSON.stringify(response))) !== 0
  ) {
    yield 'its snapshot is not what its log says';
  }
}

/** An id that occurs on both sides is on one of them. */
function* inspectIndex(
  db: ReadOnlyDatabase,
  no: number,
  request: StoredRequest,
  snapshot: Response | undefined,
): Generator<string> {
  const sides = [request.inputItems, snapshot?.output ?? []].map(
    (items) => new Set(items.map(({ id }) => id).filter((id) => typeof id === 'string')),
  );
  const indexed = new Set<string>();
  let strange = 0;
  for (const row of db.each('select id, output from response_item where response_no = ?', no)) {
    const id = String(row['id']);
    indexed.add(id);
    if (sides[Number(row['output'])]?.has(id) !== true) strange += 1;
  }
  const missing = sides.reduce((sum, ids) => sum + [...ids].filter((id) => !indexed.has(id)).length, 0);
  if (missing > 0) yield `${missing} of its items can't be found by their ids`;
  if (strange > 0) yield `${strange} ids lead to it that none of its items has`;
}

/** Written from a request, or the caller learns it. */
const parseRequest = (bytes: unknown): StoredRequest => parseBody(bytes) as StoredRequest;
/** Written from a Response, or the caller learns it. */
const parseSnapshot = (bytes: unknown): Response => parseBody(bytes) as Response;

function parseBody(bytes: unknown): object {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('a body is not a blob');
  return JSON.parse(new TextDecoder().decode(bytes)) as object; // looked at by `readJson`
}

/** Undefined for what can't be read. */
function readJson<T extends object>(read: () => T): T | undefined {
  try {
    const value: unknown = read();
    return typeof value === 'object' && value !== null ? (value as T) : undefined; // what `read` says it is
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}
