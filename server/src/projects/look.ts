import { apiError } from '../domain/errors.ts';
import { toListPage } from '../domain/list-page.ts';
import type { ListedResponse, ResponsesQuery, StoredAuditEntry } from '../domain/project-store.ts';
import type { PageQuery } from '../domain/webhook-store.ts';
import type { AuditEntryShown, ResponseListed } from '../protocol/admin.ts';
import type { ListPage } from '../protocol/list.ts';
import type { ProjectsDeps } from './deps.ts';

/** What an admin may look at: what was done, and what projects have. */

export async function listAudit(deps: ProjectsDeps, query: PageQuery): Promise<ListPage<AuditEntryShown>> {
  return toListPage(await deps.store.listAudit(query), query, toEntry);
}

export async function listResponses(
  deps: ProjectsDeps,
  projectId: string,
  query: ResponsesQuery,
): Promise<ListPage<ResponseListed>> {
  const page = await deps.store.listResponses(projectId, query, deps.clock.now());
  if (page.outcome === 'absent') throw apiError('project_not_found', { id: projectId });
  return toListPage(page, query, toListed);
}

/** An admin has read what a response says. */
export function recordShown(deps: ProjectsDeps, projectId: string, id: string): Promise<void> {
  const entry = { at: deps.clock.now(), action: 'response.show', target: id, detail: { project: projectId } };
  return deps.store.recordAudit(entry);
}

function toEntry({ id, at, action, target, detail }: StoredAuditEntry): AuditEntryShown {
  return { id, object: 'audit_entry', at: Math.floor(at / 1000), action, target, detail };
}

function toListed(response: ListedResponse): ResponseListed {
  return {
    id: response.id,
    object: 'response.listed',
    status: response.status,
    model: response.model,
    background: response.background,
    created_at: Math.floor(response.createdAt / 1000),
    completed_at: response.doneAt === null ? null : Math.floor(response.doneAt / 1000),
  };
}
