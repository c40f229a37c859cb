import type { Store, SweepResult } from '../../domain/ports.ts';
import { isEnded } from '../../domain/status.ts';
import type { Database } from './database.ts';
import { forgetDeliveries } from './webhooks.ts';

/**
 * Forgetting (design.md §5, §9). A delete empties bodies and hides the row; the empty chunks, the closed one last,
 * stay as a tombstone that refuses a late append, until a sweep purges them.
 */

export function deleteResponse(
  db: Database,
  projectId: string,
  id: string,
  now: number,
): Awaited<ReturnType<Store['delete']>> {
  const row = db.one(
    'select no, status, expires_at from response where id = ? and project_id = ? and deleted_at is null',
    id,
    projectId,
  );
  if (row === undefined) return 'absent';
  if (!isEnded(row['status'] as Parameters<typeof isEnded>[0])) return 'unfinished'; // only written from that type
  if (Number(row['expires_at']) <= now) return 'absent';
  bury(db, Number(row['no']), now);
  return 'deleted';
}

function bury(db: Database, no: number, now: number): void {
  db.run("update chunk set body = x'' where response_no = ?", no);
  db.run('delete from response_item where response_no = ?', no);
  forgetDeliveries(db, no);
  db.run(
    "update response set request = x'', history = null, snapshot = null, log_state = 3, deleted_at = ? where no = ?",
    now,
    no,
  );
}

export function sweep(db: Database, now: number, purgeBefore: number, limit: number): SweepResult {
  const expired = db.all(
    `select no from response where deleted_at is null and expires_at <= ? and status not in ('queued', 'in_progress')
      limit ?`,
    now,
    limit,
  );
  for (const row of expired) bury(db, Number(row['no']), now);

  const logs = db.all('select no from response where log_state in (1, 2) and log_expires_at <= ? limit ?', now, limit);
  for (const row of logs) {
    db.run('delete from chunk where response_no = ?', Number(row['no']));
    db.run('update response set log_state = 3 where no = ?', Number(row['no']));
  }

  const purged = db.all(
    'select no from response where deleted_at is not null and deleted_at < ? limit ?',
    purgeBefore,
    limit,
  );
  for (const row of purged) {
    db.run('delete from chunk where response_no = ?', Number(row['no']));
    db.run('delete from response where no = ?', Number(row['no']));
  }
  return { expired: expired.length, logs: logs.length, purged: purged.length };
}
