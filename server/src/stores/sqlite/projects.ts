import type { NewProject, ProjectChange, StoredProject } from '../../domain/project-store.ts';
import type { RetentionMode } from '../../domain/retention.ts';
import type { Page, PageQuery } from '../../domain/webhook-store.ts';
import { recordAudit } from './audit.ts';
import type { Database, Row } from './database.ts';
import { decodeLimits, numberOrNull, pageOf } from './rows.ts';

/** Projects. A deleted one keeps its row, so that what is under way for it knows. */

const COLUMNS = 'id, name, retention, weight, max_running, limits, created_at, updated_at';

export function createProject(db: Database, project: NewProject): void {
  const { id, name, retention, weight, maxRunning, limits, createdAt } = project;
  db.run(
    `insert into project (id, name, retention, weight, max_running, limits, created_at, updated_at)
     values (?, ?, ?, ?, ?, ?, ?, ?)`,
    id,
    name,
    retention,
    weight,
    maxRunning,
    JSON.stringify(limits),
    createdAt,
    createdAt,
  );
  const detail = { name, retention, weight, max_running: maxRunning, limits };
  recordAudit(db, { at: createdAt, action: 'project.create', target: id, detail });
}

export function findProject(db: Database, id: string): StoredProject | undefined {
  const row = db.one(`select ${COLUMNS} from project where id = ? and deleted_at is null`, id);
  return row === undefined ? undefined : toProject(row);
}

export function listProjects(db: Database, query: PageQuery): Page<StoredProject> {
  const before = query.after === undefined ? Number.MAX_SAFE_INTEGER : projectNo(db, query.after);
  if (before === undefined) return { outcome: 'no_cursor' };
  const rows = db.all(
    `select ${COLUMNS} from project where deleted_at is null and no < ? order by no desc limit ?`,
    before,
    query.limit + 1,
  );
  return pageOf(rows, query.limit, toProject);
}

export function updateProject(db: Database, id: string, change: ProjectChange, now: number): StoredProject | undefined {
  const before = findProject(db, id);
  if (before === undefined) return undefined;
  const after = { ...before, ...change };
  const detail = differences(before, after);
  if (Object.keys(detail).length === 0) return before;
  db.run(
    `update project set name = ?, retention = ?, weight = ?, max_running = ?, limits = ?, updated_at = ? where id = ?`,
    after.name,
    after.retention,
    after.weight,
    after.maxRunning,
    JSON.stringify(after.limits),
    now,
    id,
  );
  recordAudit(db, { at: now, action: 'project.update', target: id, detail });
  return { ...after, updatedAt: now };
}

export function deleteProject(db: Database, id: string, now: number): boolean {
  const project = findProject(db, id);
  if (project === undefined) return false;
  db.run("update project set deleted_at = ?, name = '', limits = '{}' where id = ?", now, id);
  db.run('delete from api_key where project_id = ?', id);
  db.run(
    "update webhook_endpoint set disabled_at = ?, disabled_reason = 'its project was deleted' where project_id = ?",
    now,
    id,
  );
  recordAudit(db, { at: now, action: 'project.delete', target: id, detail: { name: project.name } });
  return true;
}

/** What begins for it, or was under way when it was deleted, must leave nothing behind. */
export function isDeletedProject(db: Database, id: string): boolean {
  return db.one('select 1 from project where id = ? and deleted_at is not null', id) !== undefined;
}

/** By the names that the API has for them. */
const CHANGEABLE = [
  ['name', 'name'],
  ['retention', 'retention'],
  ['weight', 'weight'],
  ['maxRunning', 'max_running'],
  ['limits', 'limits'],
] as const satisfies [keyof ProjectChange, string][];

function differences(before: StoredProject, after: StoredProject): Record<string, { from: unknown; to: unknown }> {
  const changed = CHANGEABLE.filter(([key]) => JSON.stringify(before[key]) !== JSON.stringify(after[key]));
  return Object.fromEntries(changed.map(([key, name]) => [name, { from: before[key], to: after[key] }]));
}

function projectNo(db: Database, id: string): number | undefined {
  const row = db.one('select no from project where id = ? and deleted_at is null', id);
  return row === undefined ? undefined : Number(row['no']);
}

function toProject(row: Row): StoredProject {
  return {
    id: String(row['id']),
    name: String(row['name']),
    retention: row['retention'] as RetentionMode | null, // only written from that type
    weight: Number(row['weight']),
    maxRunning: numberOrNull(row['max_running']),
    limits: decodeLimits(row['limits']),
    createdAt: Number(row['created_at']),
    updatedAt: Number(row['updated_at']),
  };
}
