import type { ListedResponse, ResponsesQuery } from '../../domain/project-store.ts';
import type { Page } from '../../domain/webhook-store.ts';
import { RESPONSE_STATUSES } from '../../protocol/response.ts';
import type { Database, Row } from './database.ts';
import { findProject } from './projects.ts';
import { VISIBLE, VISIBLE_IN_RESPONSE, numberOrNull, pageOf } from './rows.ts';

/** The responses of a project, newest first, without what they say. */
export function listResponses(
  db: Database,
  projectId: string,
  query: ResponsesQuery,
  now: number,
): Page<ListedResponse> {
  if (findProject(db, projectId) === undefined) return { outcome: 'absent' };
  const before = query.after === undefined ? Number.MAX_SAFE_INTEGER : responseNo(db, projectId, query.after, now);
  if (before === undefined) return { outcome: 'no_cursor' };
  const statuses = query.status === undefined ? RESPONSE_STATUSES : [query.status];
  // By status, since that is how they are indexed: no page looks at more rows than it could show.
  const rows = statuses.flatMap((status) =>
    db.all(
      `select no, id, status, model, background, created_at, done_at from response
        where project_id = ? and status = ? and no < ? and ${VISIBLE_IN_RESPONSE} order by no desc limit ?`,
      projectId,
      status,
      before,
      now,
      query.limit + 1,
    ),
  );
  return pageOf(
    rows.toSorted((one, other) => Number(other['no']) - Number(one['no'])),
    query.limit,
    toListed,
  );
}

function responseNo(db: Database, projectId: string, id: string, now: number): number | undefined {
  const row = db.one(`select no from response where ${VISIBLE}`, id, projectId, now);
  return row === undefined ? undefined : Number(row['no']);
}

function toListed(row: Row): ListedResponse {
  return {
    id: String(row['id']),
    status: row['status'] as ListedResponse['status'], // only written from that type
    model: String(row['model']),
    background: row['background'] === 1,
    createdAt: Number(row['created_at']),
    doneAt: numberOrNull(row['done_at']),
  };
}
