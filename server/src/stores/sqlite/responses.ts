import type { End, NewResponse, Store, StoredRequest, StoredResponse } from '../../domain/ports.ts';
import { insertChunk } from './chunks.ts';
import type { Database } from './database.ts';
import { RESPONSE_COLUMNS, decodeRequest, encodeRequest, toResponse } from './rows.ts';

/** The response row: made once, found by project and id. */

export function create(db: Database, response: NewResponse, queueMax: number): Awaited<ReturnType<Store['create']>> {
  const owned = response.workerId !== null;
  if (!owned && queueIsFull(db, queueMax)) return { outcome: 'queue_full' };
  const no = db.insert(
    `insert into response (id, project_id, status, worker_id, attempt, model, provider, background, stream, request,
       created_at, started_at, expires_at, log_state)
     values (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, 0)`,
    response.id,
    response.projectId,
    owned ? 'in_progress' : 'queued',
    response.workerId,
    owned ? 1 : 0,
    response.model,
    response.provider,
    response.stream ? 1 : 0,
    encodeRequest(response.request),
    response.createdAt,
    owned ? response.createdAt : null,
    response.expiresAt,
  );
  insertChunk(db, no, response.chunk);
  return { outcome: 'created', no };
}

/** Counted from the partial index, at most `queueMax` entries of it. */
function queueIsFull(db: Database, queueMax: number): boolean {
  const row = db.one(
    `select count(*) as waiting from
       (select 1 from response where status = 'queued' and worker_id is null limit ?)`,
    queueMax,
  );
  return Number(row?.['waiting']) >= queueMax;
}

export function createEnded(
  db: Database,
  response: Omit<NewResponse, 'chunk' | 'workerId'>,
  end: Omit<End, 'logExpiresAt'>,
): void {
  db.insert(
    `insert into response (id, project_id, status, model, provider, background, stream, request, snapshot,
       created_at, started_at, done_at, expires_at, log_state)
     values (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, 3)`,
    response.id,
    response.projectId,
    end.status,
    response.model,
    response.provider,
    response.stream ? 1 : 0,
    encodeRequest(response.request),
    end.snapshot,
    response.createdAt,
    response.createdAt,
    end.doneAt,
    response.expiresAt,
  );
}

/** What is past its time is gone, whether or not the sweep came by; what still runs does not expire. */
const VISIBLE = `id = ? and project_id = ? and deleted_at is null
  and (expires_at > ? or status in ('queued', 'in_progress'))`;

export function find(db: Database, projectId: string, id: string, now: number): StoredResponse | undefined {
  const row = db.one(`select ${RESPONSE_COLUMNS} from response where ${VISIBLE}`, id, projectId, now);
  return row === undefined ? undefined : toResponse(row);
}

export function findRequest(db: Database, projectId: string, id: string, now: number): StoredRequest | undefined {
  const row = db.one(`select request from response where ${VISIBLE}`, id, projectId, now);
  return row === undefined ? undefined : decodeRequest(row['request']);
}
