import type { ProjectStore } from '../../domain/project-store.ts';
import { RESPONSE_STATUSES } from '../../protocol/response.ts';
import { isEnded } from '../../domain/status.ts';
import type { Database } from './database.ts';
import { bury } from './forgetting.ts';
import { isDeletedProject } from './projects.ts';

/** What a deleted project leaves goes in slices, so that no transaction holds the store thread for long. */

export function listDeletedProjects(db: Database, limit: number): string[] {
  return db
    .all('select id from project where deleted_at is not null and forgotten_at is null order by no limit ?', limit)
    .map((row) => String(row['id']));
}

export function forgetProject(
  db: Database,
  id: string,
  now: number,
  limit: number,
): Awaited<ReturnType<ProjectStore['forgetProject']>> {
  if (!isDeletedProject(db, id)) return { unfinished: [], done: true };
  const ended = responsesOf(db, id, true, limit);
  bury(
    db,
    ended.map(({ no }) => no),
    now,
  );
  const forgotten = [
    ended.length,
    forgetConversations(db, id, limit),
    forgetEndpoints(db, id, limit),
    forgetUsage(db, id, limit),
  ];
  const unfinished = responsesOf(db, id, false, limit).map((response) => response.id);
  const done = unfinished.length === 0 && forgotten.every((count) => count === 0);
  if (done) db.run('update project set forgotten_at = ? where id = ? and forgotten_at is null', now, id);
  return { unfinished, done };
}

function responsesOf(db: Database, project: string, ended: boolean, limit: number): { no: number; id: string }[] {
  return RESPONSE_STATUSES.filter((status) => isEnded(status) === ended)
    .flatMap((status) =>
      db.all(
        'select no, id from response where project_id = ? and status = ? and deleted_at is null order by no limit ?',
        project,
        status,
        limit,
      ),
    )
    .slice(0, limit)
    .map((row) => ({ no: Number(row['no']), id: String(row['id']) }));
}

function forgetConversations(db: Database, project: string, limit: number): number {
  const row = db.one('select no from conversation where project_id = ? order by no limit 1', project);
  if (row === undefined) return 0;
  const items = db.run(
    'delete from conversation_item where no in (select no from conversation_item where conversation_no = ? limit ?)',
    Number(row['no']),
    limit,
  );
  return items > 0 ? items : db.run('delete from conversation where no = ?', Number(row['no']));
}

function forgetEndpoints(db: Database, project: string, limit: number): number {
  const row = db.one('select no from webhook_endpoint where project_id = ? order by no limit 1', project);
  if (row === undefined) return 0;
  const deliveries = db.run(
    'delete from webhook_delivery where no in (select no from webhook_delivery where endpoint_no = ? limit ?)',
    Number(row['no']),
    limit,
  );
  return deliveries > 0 ? deliveries : db.run('delete from webhook_endpoint where no = ?', Number(row['no']));
}

function forgetUsage(db: Database, project: string, limit: number): number {
  return db.run(
    `delete from usage where (project_id, day, key_id, model_entry) in
       (select project_id, day, key_id, model_entry from usage where project_id = ? limit ?)`,
    project,
    limit,
  );
}
