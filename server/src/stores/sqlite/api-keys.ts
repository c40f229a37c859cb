import type { FoundKey, NewKey, StoredKey } from '../../domain/project-store.ts';
import type { Page, PageQuery } from '../../domain/webhook-store.ts';
import { recordAudit } from './audit.ts';
import type { Database, Row } from './database.ts';
import { findProject } from './projects.ts';
import { decodeLimits, numberOrNull, pageOf } from './rows.ts';

/** API keys, by the hash of each. */

const COLUMNS = 'id, project_id, name, mask, limits, created_at, expires_at, last_used_at';

export function createKey(db: Database, key: NewKey): 'created' | 'project_absent' {
  if (findProject(db, key.projectId) === undefined) return 'project_absent';
  db.run(
    `insert into api_key (id, project_id, name, hash, mask, limits, created_at, expires_at)
     values (?, ?, ?, ?, ?, ?, ?, ?)`,
    key.id,
    key.projectId,
    key.name,
    key.hash,
    key.mask,
    JSON.stringify(key.limits),
    key.createdAt,
    key.expiresAt,
  );
  const expiry = key.expiresAt === null ? null : Math.floor(key.expiresAt / 1000);
  const detail = { project: key.projectId, name: key.name, limits: key.limits, expires_at: expiry };
  recordAudit(db, { at: key.createdAt, action: 'key.create', target: key.id, detail });
  return 'created';
}

export function findKey(db: Database, hash: Uint8Array): FoundKey | undefined {
  const row = db.one(`select ${COLUMNS} from api_key where hash = ?`, hash);
  return row === undefined ? undefined : { ...toKey(row), hash };
}

export function listKeys(db: Database, projectId: string, query: PageQuery): Page<StoredKey> {
  if (findProject(db, projectId) === undefined) return { outcome: 'absent' };
  const before = query.after === undefined ? Number.MAX_SAFE_INTEGER : keyNo(db, projectId, query.after);
  if (before === undefined) return { outcome: 'no_cursor' };
  const rows = db.all(
    `select ${COLUMNS} from api_key where project_id = ? and no < ? order by no desc limit ?`,
    projectId,
    before,
    query.limit + 1,
  );
  return pageOf(rows, query.limit, toKey);
}

export function deleteKey(db: Database, projectId: string, id: string, now: number): boolean {
  const row = db.one('select name from api_key where id = ? and project_id = ?', id, projectId);
  if (row === undefined) return false;
  db.run('delete from api_key where id = ?', id);
  recordAudit(db, { at: now, action: 'key.revoke', target: id, detail: { project: projectId, name: row['name'] } });
  return true;
}

export function hasKeys(db: Database): boolean {
  return db.one('select 1 from api_key limit 1') !== undefined;
}

export function touchKeys(db: Database, uses: readonly { id: string; at: number }[]): void {
  for (const { id, at } of uses) {
    db.run('update api_key set last_used_at = ?2 where id = ?1 and coalesce(last_used_at, 0) < ?2', id, at);
  }
}

function keyNo(db: Database, projectId: string, id: string): number | undefined {
  const row = db.one('select no from api_key where id = ? and project_id = ?', id, projectId);
  return row === undefined ? undefined : Number(row['no']);
}

function toKey(row: Row): StoredKey {
  return {
    id: String(row['id']),
    projectId: String(row['project_id']),
    name: String(row['name']),
    mask: String(row['mask']),
    limits: decodeLimits(row['limits']),
    createdAt: Number(row['created_at']),
    expiresAt: numberOrNull(row['expires_at']),
    lastUsedAt: numberOrNull(row['last_used_at']),
  };
}
