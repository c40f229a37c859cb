import type { Idempotency, Store } from '../../domain/ports.ts';
import type { Database, Row } from './database.ts';
import { RESPONSE_COLUMNS, VISIBLE_IN_RESPONSE, toResponse } from './rows.ts';

/**
 * Idempotency keys: which response a create has made, so that the same create once more makes no other. A row lives no
 * longer than its response. Keys and hashes are content, and sealed if their response is.
 */

export function findByKey(
  db: Database,
  projectId: string,
  key: string,
  now: number,
): Awaited<ReturnType<Store['findByKey']>> {
  const found = findRow(db, projectId, key, now);
  if (found === undefined) return undefined;
  const no = Number(found['response_no']);
  if (db.bodies.isSealed(no) && !db.bodies.hasKey(no)) return undefined;
  const row = db.one(`select ${RESPONSE_COLUMNS} from response where no = ? and ${VISIBLE_IN_RESPONSE}`, no, now);
  if (row === undefined) return undefined;
  const hash = db.bodies.open(no, 'body hash', bytesOf(found['body_hash']));
  return { bodyHash: Buffer.from(hash).toString('hex'), response: toResponse(db, row) };
}

function findRow(db: Database, projectId: string, key: string, now: number): Row | undefined {
  const columns = 'response_no, key, body_hash';
  const plain = db.one(
    `select ${columns} from idempotency where project_id = ? and key = ? and expires_at > ?`,
    projectId,
    Buffer.from(key),
    now,
  );
  if (plain !== undefined) return plain;
  const no = db.sealedKeys.find(projectId, key);
  if (no === undefined) return undefined;
  const sealed = db.one(
    `select ${columns} from idempotency where response_no = ? and project_id = ? and expires_at > ?`,
    no,
    projectId,
    now,
  );
  return sealed !== undefined && openKey(db, sealed) === key ? sealed : undefined;
}

/** Into the transaction that makes the response `no`, for a key that `findByKey` does not know. */
export function insertKey(
  db: Database,
  no: number,
  projectId: string,
  { key, bodyHash, expiresAt }: Idempotency,
): void {
  // Of a response or a key that is past its time, and not swept yet.
  db.run('delete from idempotency where project_id = ? and key = ?', projectId, Buffer.from(key));
  db.run(
    'insert into idempotency (response_no, project_id, key, body_hash, expires_at) values (?, ?, ?, ?, ?)',
    no,
    projectId,
    db.bodies.seal(no, 'idempotency key', Buffer.from(key)),
    db.bodies.seal(no, 'body hash', Buffer.from(bodyHash, 'hex')),
    expiresAt,
  );
  if (db.bodies.isSealed(no)) db.sealedKeys.add(no, projectId, key);
}

/** With its response, or past its time. */
export function forgetKey(db: Database, no: number): void {
  db.run('delete from idempotency where response_no = ?', no);
  db.sealedKeys.forget(no);
}

/** Returns how many it was, `limit` at most. */
export function sweepKeys(db: Database, now: number, limit: number): number {
  const rows = db.all('select response_no from idempotency where expires_at <= ? limit ?', now, limit);
  for (const row of rows) forgetKey(db, Number(row['response_no']));
  return rows.length;
}

/** At the start, once the keys of sealed responses are known. */
export function loadSealedKeys(db: Database): void {
  const rows = db.all(
    `select response_no, idempotency.project_id, key
       from idempotency join response on no = response_no where zdr_slot is not null`,
  );
  for (const row of rows) {
    const no = Number(row['response_no']);
    if (db.bodies.hasKey(no)) db.sealedKeys.add(no, String(row['project_id']), openKey(db, row));
  }
}

function openKey(db: Database, row: Row): string {
  return Buffer.from(db.bodies.open(Number(row['response_no']), 'idempotency key', bytesOf(row['key']))).toString();
}

function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError('a key or a hash is not a blob');
  return value;
}
