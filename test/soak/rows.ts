import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';

/** What is still in the database of a server that has stopped, and should have been forgotten before. */

/**
 * Nothing of these may be left when every response has had its time and every conversation was deleted. Tombstones are
 * kept for thirty seconds more; those must be empty, and none of them old.
 */
const LEFT: Record<string, string> = {
  'responses past their time': 'select count(*) from response where deleted_at is null',
  'bodies in tombstones':
    'select count(*) from response where deleted_at is not null and (length(request) > 0 or snapshot is not null)',
  'tombstones past their time': 'select count(*) from response where deleted_at < :purged',
  'chunks that have a body': 'select count(*) from chunk where length(body) > 0',
  'chunks without a response': 'select count(*) from chunk where response_no not in (select no from response)',
  'items of responses': 'select count(*) from response_item',
  conversations: 'select count(*) from conversation',
  'items of conversations': 'select count(*) from conversation_item',
  'webhook deliveries': 'select count(*) from webhook_delivery',
};

/** How many of each; what there is nothing of is not told. @param purged tombstones from before must be gone, ms */
export function leftovers(data: string, purged: number): Map<string, number> {
  const db = new DatabaseSync(join(data, 'holt.db'), { readOnly: true });
  try {
    const left = new Map<string, number>();
    for (const [name, sql] of Object.entries(LEFT)) {
      const row = sql.includes(':purged') ? db.prepare(sql).get({ purged }) : db.prepare(sql).get();
      const count = Number(Object.values(row ?? {})[0]);
      if (count > 0) left.set(name, count);
    }
    return left;
  } finally {
    db.close();
  }
}
