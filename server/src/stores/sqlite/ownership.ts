import type { AuditEntry } from '../../domain/audit.ts';
import type { OwnedResponse, Store, StoredRequest, Tail } from '../../domain/ports.ts';
import { isEnded } from '../../domain/status.ts';
import { recordAudit } from './audit.ts';
import { insertChunk } from './chunks.ts';
import type { Database, Row } from './database.ts';
import { WAITING, takeTurns } from './queue.ts';
import { RESPONSE_COLUMNS, decodeHistory, decodeRequest, tailOf, toResponse } from './rows.ts';

/**
 * Who works on a response. Ownership is `worker_id`, never the status; whoever takes it away from somebody appends a
 * fence in the same transaction, so that what the former owner still sends is refused (design.md §6-§8).
 */

export function claim(
  db: Database,
  workerId: string,
  limit: number,
  body: Uint8Array,
  now: number,
  maxWaitMs: number | null = null,
): Awaited<ReturnType<Store['claim']>> {
  const responses: OwnedResponse[] = [];
  const held = takeTurns(db, limit, maxWaitMs === null ? -1 : now - maxWaitMs, (no) => {
    responses.push(start(db, no, workerId, body, now));
  });
  return { responses, held };
}

function start(db: Database, no: number, workerId: string, body: Uint8Array, now: number): OwnedResponse {
  const tail = tailFor(db, no);
  insertChunk(db, no, {
    n: tail.n + 1,
    firstSequence: tail.nextSequence,
    count: 1,
    epoch: tail.epoch,
    closed: false,
    body,
  });
  db.run(
    "update response set status = 'in_progress', worker_id = ?, started_at = ?, attempt = attempt + 1 where no = ?",
    workerId,
    now,
    no,
  );
  return owned(db, no);
}

export function takeOverdue(db: Database, workerId: string, createdUntil: number, limit: number): OwnedResponse[] {
  const rows = db.all(
    `select no from response where ${WAITING} and created_at <= ? order by created_at limit ?`,
    createdUntil,
    limit,
  );
  return rows.map((row) => {
    const no = Number(row['no']);
    fence(db, no, workerId);
    return owned(db, no);
  });
}

export function fenceForCancel(
  db: Database,
  projectId: string,
  id: string,
  workerId: string,
  now: number,
  audit?: AuditEntry,
): Awaited<ReturnType<Store['fenceForCancel']>> {
  const row = db.one(
    'select no, status, cancel_requested_at from response where id = ? and project_id = ? and deleted_at is null',
    id,
    projectId,
  );
  if (row === undefined) return { outcome: 'absent' };
  if (isEnded(toStatus(row['status']))) return { outcome: 'ended' };
  if (row['cancel_requested_at'] !== null) return { outcome: 'pending' };
  const no = Number(row['no']);
  fence(db, no, workerId);
  db.run('update response set cancel_requested_at = ? where no = ?', now, no);
  if (audit !== undefined) recordAudit(db, audit);
  return { outcome: 'fenced', response: owned(db, no) };
}

/** A queued row without an owner is no orphan: it waits, unless its cancel has to be finished. */
const ORPHANED = `status in ('queued', 'in_progress')
  and (worker_id is not null and worker_id <> ?
    or worker_id is null and (status = 'in_progress' or cancel_requested_at is not null))`;

export function listOrphans(
  db: Database,
  liveWorkerId: string,
  afterNo: number,
  limit: number,
): { no: number; id: string }[] {
  return db
    .all(`select no, id from response where no > ? and ${ORPHANED} order by no limit ?`, afterNo, liveWorkerId, limit)
    .map((row) => ({ no: Number(row['no']), id: String(row['id']) }));
}

export function listOwned(
  db: Database,
  workerId: string,
  afterNo: number,
  limit: number,
): { no: number; id: string }[] {
  return db
    .all(
      `select no, id from response
        where no > ? and worker_id = ? and status in ('queued', 'in_progress') order by no limit ?`,
      afterNo,
      workerId,
      limit,
    )
    .map((row) => ({ no: Number(row['no']), id: String(row['id']) }));
}

export function takeOver(db: Database, no: number, workerId: string): OwnedResponse | undefined {
  const row = db.one(`select no from response where no = ? and ${ORPHANED}`, no, workerId);
  if (row === undefined) return undefined;
  if (db.bodies.isSealed(no) && !db.bodies.hasKey(no)) giveKey(db, no);
  fence(db, no, workerId);
  db.run('update response set attempt = attempt + 1 where no = ?', no);
  return owned(db, no);
}

/** Another one: what was sealed with the lost one stays unreadable, but how it ends can be written and read. */
function giveKey(db: Database, no: number): void {
  const slot = db.bodies.take();
  db.bodies.bind(no, slot);
  db.run('update response set zdr_slot = ? where no = ?', slot.name, no);
}

export function handBack(db: Database, workerId: string, nos: readonly number[]): void {
  for (const no of nos) {
    db.run(
      `update response set worker_id = null, attempt = max(attempt - 1, 0)
        where no = ? and worker_id = ? and status in ('queued', 'in_progress')`,
      no,
      workerId,
    );
  }
}

function fence(db: Database, no: number, workerId: string): void {
  const tail = tailFor(db, no);
  insertChunk(db, no, {
    n: tail.n + 1,
    firstSequence: tail.nextSequence,
    count: 0,
    epoch: tail.epoch + 1,
    closed: false,
    body: new Uint8Array(0),
  });
  db.run('update response set worker_id = ?, epoch = ? where no = ?', workerId, tail.epoch + 1, no);
}

const NO_REQUEST: StoredRequest = { body: {}, upstreamModel: '', inputItems: [] };

function owned(db: Database, no: number): OwnedResponse {
  const row = db.one(`select ${RESPONSE_COLUMNS}, request, history from response where no = ?`, no);
  if (row === undefined) throw new Error(`response ${no} is gone`);
  const known = { ...toResponse(db, row), tail: tailFor(db, no) };
  const asked = readAsked(db, no, row);
  if (asked !== undefined) return { ...known, ...asked };
  // Whoever took it over gave it another key: what can't be opened with that was sealed with the lost one.
  const lost = db.bodies.isSealed(no) ? 'key' : 'request';
  return { ...known, request: NO_REQUEST, history: [], lost };
}

/** Undefined when it can't be read: whoever owns the response ends it then. */
function readAsked(db: Database, no: number, row: Row): Pick<OwnedResponse, 'request' | 'history'> | undefined {
  try {
    const request = decodeRequest(db, no, row['request']);
    if (request === undefined || !Array.isArray(request.inputItems) || typeof request.body !== 'object')
      return undefined;
    return { request, history: decodeHistory(db, no, row['history']) };
  } catch (error) {
    // JSON or a type that Holt has not written; what the database says is the database's.
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

/** A log that is gone or closed is damaged, and has to be fenced and ended all the same. */
function tailFor(db: Database, no: number): Tail {
  const tail = tailOf(db, no);
  if (tail === undefined) return { n: -1, nextSequence: 0, epoch: 0 };
  return { n: tail.n, nextSequence: tail.nextSequence, epoch: tail.epoch };
}

function toStatus(value: unknown): OwnedResponse['status'] {
  return value as OwnedResponse['status']; // only written from that type
}
