import type { StoredLimits } from '../../domain/project-store.ts';
import type { StoredRequest, StoredResponse, Tail } from '../../domain/ports.ts';
import type { ConversationPlace, Item } from '../../domain/state-store.ts';
import type { Page } from '../../domain/webhook-store.ts';
import type { ResponseStatus } from '../../protocol/response.ts';
import type { Database, Row } from './database.ts';

/** Rows -> the objects of the port. */

/** What is past its time is gone, whether or not the sweep came by; what still runs does not expire. */
export const VISIBLE_IN_RESPONSE = "deleted_at is null and (expires_at > ? or status in ('queued', 'in_progress'))";
export const VISIBLE = `id = ? and project_id = ? and ${VISIBLE_IN_RESPONSE}`;

export const RESPONSE_COLUMNS = `no, id, project_id, status, worker_id, epoch, attempt, model, provider, background, stream,
  snapshot, created_at, started_at, expires_at, log_expires_at, cancel_requested_at`;

export function toResponse(db: Database, row: Row): StoredResponse {
  const no = Number(row['no']);
  return {
    no,
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
    snapshot: row['snapshot'] instanceof Uint8Array ? db.bodies.open(no, 'snapshot', row['snapshot']) : null,
    createdAt: Number(row['created_at']),
    startedAt: numberOrNull(row['started_at']),
    expiresAt: Number(row['expires_at']),
    logExpiresAt: numberOrNull(row['log_expires_at']),
    cancelRequestedAt: numberOrNull(row['cancel_requested_at']),
  };
}

export function encodeRequest(request: StoredRequest): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(request));
}

/** Undefined when the key that it was sealed with is lost. */
export function decodeRequest(db: Database, no: number, stored: unknown): StoredRequest | undefined {
  if (!(stored instanceof Uint8Array)) throw new TypeError('a request is not a blob');
  const bytes = db.bodies.open(no, 'request', stored);
  return bytes.length === 0 ? undefined : (JSON.parse(new TextDecoder().decode(bytes)) as StoredRequest); // encodeRequest
}

/** The output of a snapshot; none while there is no snapshot. */
export function decodeOutput(db: Database, no: number, snapshot: unknown): Item[] {
  if (!(snapshot instanceof Uint8Array)) return [];
  const bytes = db.bodies.open(no, 'snapshot', snapshot);
  return (JSON.parse(new TextDecoder().decode(bytes)) as { output: Item[] }).output; // written from a Response
}

export function encodeHistory(items: readonly Item[]): Uint8Array | null {
  return items.length === 0 ? null : new TextEncoder().encode(JSON.stringify(items));
}

export function decodeHistory(db: Database, no: number, stored: unknown): Item[] {
  if (!(stored instanceof Uint8Array)) return [];
  const bytes = db.bodies.open(no, 'history', stored);
  return JSON.parse(new TextDecoder().decode(bytes)) as Item[]; // written by encodeHistory
}

/** Where in a conversation a response began; null without one. */
export function placeOf(row: Row): ConversationPlace | null {
  const no = row['conversation_no'];
  return typeof no === 'number' ? { no, upTo: Number(row['conversation_up_to']) } : null;
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

/** @param rows one more than `limit`, if there are as many */
export function pageOf<T>(rows: readonly Row[], limit: number, toEntry: (row: Row) => T): Page<T> {
  return { outcome: 'page', entries: rows.slice(0, limit).map(toEntry), hasMore: rows.length > limit };
}

export function decodeLimits(value: unknown): StoredLimits {
  return JSON.parse(String(value)) as StoredLimits; // written from that type
}

export function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

export function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
