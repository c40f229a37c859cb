import type { StoredRequest, StoredResponse, Tail } from '../../domain/ports.ts';
import type { ResponseStatus } from '../../protocol/response.ts';
import type { Database, Row } from './database.ts';

/** Rows -> the objects of the port. */

export const RESPONSE_COLUMNS = `no, id, project_id, status, worker_id, epoch, attempt, model, provider, background, stream,
  snapshot, created_at, expires_at, log_expires_at, cancel_requested_at`;

export function toResponse(row: Row): StoredResponse {
  return {
    no: Number(row['no']),
    id: String(row['id']),
    projectId: String(row['project_id']),
    status: row['status'] as ResponseStatus, // only written from that type
    workerId: textOrNull(row['worker_id']),
    epoch: Number(row['epoch']),
    attempt: Number(row['attempt']),
    model: String(row['model']),
    provider: String(row['provider']),
    background: row['background'] === 1,
    stream: row['stream'] === 1,
    snapshot: row['snapshot'] instanceof Uint8Array ? row['snapshot'] : null,
    createdAt: Number(row['created_at']),
    expiresAt: Number(row['expires_at']),
    logExpiresAt: numberOrNull(row['log_expires_at']),
    cancelRequestedAt: numberOrNull(row['cancel_requested_at']),
  };
}

export function encodeRequest(request: StoredRequest): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(request));
}

export function decodeRequest(bytes: unknown): StoredRequest {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('a request is not a blob');
  return JSON.parse(new TextDecoder().decode(bytes)) as StoredRequest; // written by encodeRequest
}

/** The last chunk of a log, and where the next one goes. Undefined when there is no log. */
export function tailOf(db: Database, no: number): (Tail & { closed: boolean }) | undefined {
  const row = db.one(
    'select n, first_sequence, count, epoch, closed from chunk where response_no = ? order by n desc limit 1',
    no,
  );
  if (row === undefined) return undefined;
  return {
    n: Number(row['n']),
    nextSequence: Number(row['first_sequence']) + Number(row['count']),
    epoch: Number(row['epoch']),
    closed: row['closed'] === 1,
  };
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
