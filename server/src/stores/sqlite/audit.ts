import type { AuditEntry } from '../../domain/audit.ts';
import type { StoredAuditEntry } from '../../domain/project-store.ts';
import type { Page, PageQuery } from '../../domain/webhook-store.ts';
import type { Database, Row } from './database.ts';
import { pageOf } from './rows.ts';

/** What admins have done: written with what they did, and never changed. */

export function recordAudit(db: Database, { at, action, target, detail }: AuditEntry): void {
  db.run(
    'insert into audit (at, action, target, detail) values (?, ?, ?, ?)',
    at,
    action,
    target,
    JSON.stringify(detail),
  );
}

/** The id of an entry is its place. */
export function listAudit(db: Database, query: PageQuery): Page<StoredAuditEntry> {
  const before = query.after === undefined ? Number.MAX_SAFE_INTEGER : placeOf(db, query.after);
  if (before === undefined) return { outcome: 'no_cursor' };
  const rows = db.all(
    'select no, at, action, target, detail from audit where no < ? order by no desc limit ?',
    before,
    query.limit + 1,
  );
  return pageOf(rows, query.limit, toEntry);
}

function placeOf(db: Database, id: string): number | undefined {
  const no = Number(/^audit_(\d{1,15})$/.exec(id)?.[1]);
  return db.one('select 1 from audit where no = ?', no) === undefined ? undefined : no;
}

function toEntry(row: Row): StoredAuditEntry {
  return {
    id: `audit_${String(row['no'])}`,
    at: Number(row['at']),
    action: String(row['action']),
    target: String(row['target']),
    detail: JSON.parse(String(row['detail'])) as AuditEntry['detail'], // written from that type
  };
}
