import type { Scope, UnfinishedBound } from '../../domain/limits.ts';
import type { Database } from './database.ts';

/** How many background responses are unfinished, counted from the indexes and never kept. */

/** Only background responses have a row before their end. */
const UNFINISHED = "status in ('queued', 'in_progress')";
const WHOSE = {
  project: 'project_id = ? and deleted_at is null',
  key: 'key_id = ?',
  model: 'model_entry = ?',
} as const satisfies Record<Scope['kind'], string>;

/** The first bound that leaves no room for one more. */
export function reachedBound(db: Database, bounds: readonly UnfinishedBound[]): UnfinishedBound | undefined {
  return bounds.find(({ scope, max }) => {
    const row = db.one(
      `select count(*) as count from (select 1 from response where ${WHOSE[scope.kind]} and ${UNFINISHED} limit ?)`,
      scope.id,
      max,
    );
    return Number(row?.['count']) >= max;
  });
}
