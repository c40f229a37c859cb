import type { OwnedResponse, Store, StoredRequest } from '../../domain/ports.ts';
import type { AuditEntry } from '../../domain/audit.ts';
import { isEnded } from '../../domain/status.ts';
import { recordAudit } from './audit.ts';
import { insertChunk } from './chunks.ts';
import type { Database } from './database.ts';
import { RESPONSE_COLUMNS, decodeHistory, decodeRequest, tailOf, toResponse } from './rows.ts';

/**
 * Who works on a response. Ownership is `worker_id`, never the status; whoever takes it away from somebody appends a
 * fence in the same transaction, so that what the former owner still sends is refused (design.md §6-§8).
 */

export function claim(db: Database, workerId: string, limit: number, body: Uint8Array, now: number): OwnedResponse[] {
  const rows = db.all(
    `select no from response where status = 'queued' and worker_id is null and cancel_requested_at is null
      order by no limit ?`,
    limit,
  );
  return rows.map((row) => {
    const no = Number(row['no']);
    const tail = requireTail(db, no);
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
  const tail = requireTail(db, no);
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
  const request = decodeRequest(db, no, row['request']);
  const known = { ...toResponse(db, row), tail: requireTail(db, no) };
  if (request === undefined) return { ...known, request: NO_REQUEST, history: [], keyLost: true };
  return { ...known, request, history: decodeHistory(db, no, row['history']) };
}

function requireTail(db: Database, no: number): { n: number; nextSequence: number; epoch: number } {
  const tail = tailOf(db, no);
  if (tail === undefined || tail.closed) throw new Error(`the log of unfinished response ${no} has no open end`);
  return { n: tail.n, nextSequence: tail.nextSequence, epoch: tail.epoch };
}

function toStatus(value: unknown): OwnedResponse['status'] {
  return value as OwnedResponse['status']; // only written from that type
}
