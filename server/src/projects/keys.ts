import { createHash } from 'node:crypto';
import { apiError } from '../domain/errors.ts';
import { toListPage } from '../domain/list-page.ts';
import type { StoredKey } from '../domain/project-store.ts';
import type { PageQuery } from '../domain/webhook-store.ts';
import type { ApiKey, ApiKeyWithValue, CreateKeyBody, DeletedKey } from '../protocol/admin.ts';
import type { ListPage } from '../protocol/list.ts';
import type { ProjectsDeps } from './deps.ts';
import { toLimits } from './projects.ts';

/** The keys of a project. Each is shown when it is made; what is stored tells nobody what it was. */

export async function createKey(deps: ProjectsDeps, projectId: string, body: CreateKeyBody): Promise<ApiKeyWithValue> {
  const now = deps.clock.now();
  const expiresAt = body.expires_at === null ? null : body.expires_at * 1000;
  if (expiresAt !== null && expiresAt <= now) {
    throw apiError('invalid_value', { param: 'expires_at', reason: 'must be a time in the future, in seconds' });
  }
  const value = deps.ids.apiKey();
  const key = {
    id: deps.ids.item('key'),
    projectId,
    name: body.name,
    mask: `${value.slice(0, 10)}…${value.slice(-4)}`,
    limits: toLimits(body.limits),
    createdAt: now,
    expiresAt,
  };
  const outcome = await deps.store.createKey({ ...key, hash: createHash('sha256').update(value).digest() });
  if (outcome === 'project_absent') throw apiError('project_not_found', { id: projectId });
  deps.known.changed();
  return { ...toWire({ ...key, lastUsedAt: null }), value };
}

export async function listKeys(deps: ProjectsDeps, projectId: string, query: PageQuery): Promise<ListPage<ApiKey>> {
  const page = await deps.store.listKeys(projectId, query);
  if (page.outcome === 'absent') throw apiError('project_not_found', { id: projectId });
  return toListPage(page, query, toWire);
}

/** It is refused from now on; what was begun with it goes on. */
export async function revokeKey(deps: ProjectsDeps, projectId: string, id: string): Promise<DeletedKey> {
  if (!(await deps.store.deleteKey(projectId, id, deps.clock.now()))) {
    throw apiError('api_key_not_found', { id, project: projectId });
  }
  deps.known.changed();
  return { id, object: 'project.api_key.deleted', deleted: true };
}

function toWire(key: StoredKey): ApiKey {
  return {
    id: key.id,
    object: 'project.api_key',
    project_id: key.projectId,
    name: key.name,
    redacted_value: key.mask,
    limits: key.limits,
    created_at: Math.floor(key.createdAt / 1000),
    expires_at: key.expiresAt === null ? null : Math.floor(key.expiresAt / 1000),
    last_used_at: key.lastUsedAt === null ? null : Math.floor(key.lastUsedAt / 1000),
  };
}
