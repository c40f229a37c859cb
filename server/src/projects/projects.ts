import { apiError } from '../domain/errors.ts';
import { toListPage } from '../domain/list-page.ts';
import { DEFAULT_PROJECT } from '../domain/project-store.ts';
import type { ProjectChange, StoredLimits, StoredProject } from '../domain/project-store.ts';
import type { PageQuery } from '../domain/webhook-store.ts';
import type {
  CreateProjectBody,
  DeletedProject,
  Project,
  ProjectLimits,
  UpdateProjectBody,
} from '../protocol/admin.ts';
import type { ListPage } from '../protocol/list.ts';
import type { ProjectsDeps } from './deps.ts';

/** Whose responses are kept apart. Each change is in the audit log. */

export async function createProject(deps: ProjectsDeps, body: CreateProjectBody): Promise<Project> {
  const now = deps.clock.now();
  const project = {
    id: deps.ids.item('proj'),
    name: body.name,
    retention: body.retention,
    weight: body.weight,
    maxRunning: body.max_running,
    limits: toLimits(body.limits),
    createdAt: now,
  };
  await deps.store.createProject(project);
  deps.known.changed();
  return toWire({ ...project, updatedAt: now });
}

export async function retrieveProject(deps: Pick<ProjectsDeps, 'store'>, id: string): Promise<Project> {
  const found = await deps.store.findProject(id);
  if (found === undefined) throw apiError('project_not_found', { id });
  return toWire(found);
}

export async function listProjects(deps: ProjectsDeps, query: PageQuery): Promise<ListPage<Project>> {
  return toListPage(await deps.store.listProjects(query), query, toWire);
}

/** What was said before stays as it was kept: another retention is for what is said from now on. */
export async function updateProject(deps: ProjectsDeps, id: string, body: UpdateProjectBody): Promise<Project> {
  const change: ProjectChange = {
    ...(body.name !== undefined && { name: body.name }),
    ...(body.retention !== undefined && { retention: body.retention }),
    ...(body.weight !== undefined && { weight: body.weight }),
    ...(body.max_running !== undefined && { maxRunning: body.max_running }),
    ...(body.limits !== undefined && { limits: toLimits(body.limits) }),
  };
  const updated = await deps.store.updateProject(id, change, deps.clock.now());
  if (updated === undefined) throw apiError('project_not_found', { id });
  deps.known.changed();
  return toWire(updated);
}

/** Its keys stop now, and so does what runs; the rest of it goes in the time that follows. */
export async function deleteProject(deps: ProjectsDeps, id: string): Promise<DeletedProject> {
  if (id === DEFAULT_PROJECT) throw apiError('default_project_kept');
  if (!(await deps.store.deleteProject(id, deps.clock.now()))) throw apiError('project_not_found', { id });
  deps.known.changed();
  deps.forget();
  return { id, object: 'project.deleted', deleted: true };
}

/** Without those that are left out. */
export function toLimits(limits: ProjectLimits): StoredLimits {
  return Object.fromEntries(
    Object.entries(limits).flatMap(([name, limit]) => (limit === undefined ? [] : [[name, limit]])),
  );
}

function toWire(project: StoredProject): Project {
  return {
    id: project.id,
    object: 'project',
    name: project.name,
    retention: project.retention,
    weight: project.weight,
    max_running: project.maxRunning,
    limits: project.limits,
    created_at: Math.floor(project.createdAt / 1000),
    updated_at: Math.floor(project.updatedAt / 1000),
  };
}
