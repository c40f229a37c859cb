import type { Store, SweepResult } from '../../domain/ports.ts';
import { isEnded } from '../../domain/status.ts';
import { insertChunk } from './chunks.ts';
import type { Database } from './database.ts';
import { forgetKey, loadSealedKeys, sweepKeys } from './idempotency.ts';
import { tailOf } from './rows.ts';
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
  unfinished?: 'forced',
): Awaited<ReturnType<Store['delete']>> {
  const row = db.one(
    'select no, status, expires_at from response where id = ? and project_id = ? and deleted_at is null',
    id,
    projectId,
  );
  if (row === undefined) return 'absent';
  const no = Number(row['no']);
  const ended = isEnded(row['status'] as Parameters<typeof isEnded>[0]); // only written from that type
  if (!ended && unfinished === undefined) return 'unfinished';
  if (ended && Number(row['expires_at']) <= now) return 'absent';
  if (!ended) closeUnread(db, no, now);
  bury(db, [no], now);
  return 'deleted';
}

/** An end without its events, for what is emptied in the same transaction. */
function closeUnread(db: Database, no: number, now: number): void {
  const tail = tailOf(db, no) ?? { n: -1, nextSequence: 0, epoch: 0 };
  insertChunk(db, no, {
    n: tail.n + 1,
    firstSequence: tail.nextSequence,
    count: 0,
    epoch: tail.epoch + 1,
    closed: true,
    body: new Uint8Array(0),
  });
  db.run(
    "update response set status = 'cancelled', worker_id = null, epoch = ?, done_at = ? where no = ?",
    tail.epoch + 1,
    now,
    no,
  );
}

/** Makes tombstones of ended responses. */
export function bury(db: Database, nos: readonly number[], now: number): void {
  // First, and durable at once: if the rest does not come to be, the response is unreadable all the same.
  db.bodies.destroy(nos);
  for (const no of nos) {
    db.run("update chunk set body = x'' where response_no = ?", no);
    db.run('delete from response_item where response_no = ?', no);
    forgetDeliveries(db, no);
    forgetKey(db, no);
    db.run(
      `update response set request = x'', history = null, snapshot = null, log_state = 3, zdr_slot = null,
         deleted_at = ? where no = ?`,
      now,
      no,
    );
  }
}

/**
 * At the start: keys without a response are destroyed. A response without its key is forgotten if it has ended; if not,
 * it is made an orphan, also while it waits in the queue, so that it is taken over and ends now.
 */
export function loadKeys(db: Database): void {
  const rows = db
    .all('select no, zdr_slot from response where zdr_slot is not null')
    .map((row) => ({ no: Number(row['no']), slot: String(row['zdr_slot']) }));
  const lost = db.bodies.load(rows);
  loadSealedKeys(db);
  if (lost.length === 0) return;
  db.execute('begin immediate');
  for (const no of lost) {
    const row = db.one('select status, done_at from response where no = ?', no);
    if (isEnded(row?.['status'] as Parameters<typeof isEnded>[0])) {
      bury(db, [no], Number(row?.['done_at'])); // as above
    } else db.run("update response set worker_id = 'key lost' where no = ? and worker_id is null", no);
  }
  db.execute('commit');
  db.bodies.settle('committed');
}

export function sweep(db: Database, now: number, purgeBefore: number, limit: number): SweepResult {
  const expired = db.all(
    `select no from response where deleted_at is null and expires_at <= ? and status not in ('queued', 'in_progress')
      limit ?`,
    now,
    limit,
  );
  bury(
    db,
    expired.map((row) => Number(row['no'])),
    now,
  );

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
  const keys = sweepKeys(db, now, limit);
  return { expired: expired.length, logs: logs.length, purged: purged.length, keys };
}
