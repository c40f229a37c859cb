import { auditOf } from '../domain/audit.ts';
import type { Actor } from '../domain/audit.ts';
import { apiError } from '../domain/errors.ts';
import { toListPage } from '../domain/list-page.ts';
import type { EndpointChange, PageQuery, StoredEndpoint } from '../domain/webhook-store.ts';
import type { ListPage } from '../protocol/list.ts';
import type {
  DeletedWebhookEndpoint,
  WebhookEndpoint,
  WebhookEndpointWithSecret,
  WebhookEventType,
  WebhookTestResult,
} from '../protocol/webhooks.ts';
import type { ResponsesDeps } from './deps.ts';

/** Where the ends of background responses are told (contract.md §1.10). */

type Deps = Pick<ResponsesDeps, 'store' | 'webhooks' | 'ids' | 'clock'>;

const OLD_SECRET_MS = 24 * 3_600_000;

export async function createEndpoint(
  deps: Deps,
  projectId: string,
  { name, url, event_types }: { name: string; url: string; event_types: WebhookEventType[] },
  actor: Actor = 'client',
): Promise<WebhookEndpointWithSecret> {
  checkUrl(deps, url);
  const now = deps.clock.now();
  const endpoint = {
    id: deps.ids.item('whe'),
    name,
    url,
    eventTypes: [...new Set(event_types)],
    secret: deps.ids.webhookSecret(),
    createdAt: now,
  };
  const audit = auditOf(actor, now, 'webhook_endpoint.create', endpoint.id, { project: projectId, name });
  await deps.store.createEndpoint(projectId, endpoint, audit);
  deps.webhooks.changed();
  const unset = { updatedAt: now, oldSecret: null, oldSecretUntil: null, disabledAt: null, disabledReason: null };
  return toWireWithSecret({ ...endpoint, ...unset });
}

export async function retrieveEndpoint(deps: Deps, projectId: string, id: string): Promise<WebhookEndpoint> {
  return toWire(await findEndpoint(deps, projectId, id));
}

export async function listEndpoints(
  deps: Deps,
  projectId: string,
  query: PageQuery,
): Promise<ListPage<WebhookEndpoint>> {
  return toListPage(await deps.store.listEndpoints(projectId, query), query, toWire);
}

/** Also enables an endpoint that was disabled: whoever changes it says that it is fit again. */
export async function updateEndpoint(
  deps: Deps,
  projectId: string,
  id: string,
  body: { name?: string | undefined; url?: string | undefined; event_types?: WebhookEventType[] | undefined },
  actor: Actor = 'client',
): Promise<WebhookEndpoint> {
  if (body.url !== undefined) checkUrl(deps, body.url);
  const change: EndpointChange = {
    ...(body.name !== undefined && { name: body.name }),
    ...(body.url !== undefined && { url: body.url }),
    ...(body.event_types !== undefined && { eventTypes: [...new Set(body.event_types)] }),
  };
  const now = deps.clock.now();
  // Not the URL, which may hold a secret.
  const audit = auditOf(actor, now, 'webhook_endpoint.update', id, {
    project: projectId,
    changed: Object.keys(change),
  });
  const updated = await deps.store.updateEndpoint(projectId, id, change, now, audit);
  if (updated === undefined) throw apiError('webhook_endpoint_not_found', { id });
  deps.webhooks.changed();
  return toWire(updated);
}

export async function rotateSecret(
  deps: Deps,
  projectId: string,
  id: string,
  keepOld: boolean,
  actor: Actor = 'client',
): Promise<WebhookEndpointWithSecret> {
  const now = deps.clock.now();
  const oldSecretUntil = keepOld ? now + OLD_SECRET_MS : null;
  const audit = auditOf(actor, now, 'webhook_endpoint.rotate_secret', id, { project: projectId, kept_old: keepOld });
  const rotated = await deps.store.rotateSecret(projectId, id, deps.ids.webhookSecret(), oldSecretUntil, now, audit);
  if (rotated === undefined) throw apiError('webhook_endpoint_not_found', { id });
  return toWireWithSecret(rotated);
}

/** Sends a sample, once, and waits for what the endpoint answers to it. */
export async function testEndpoint(
  deps: Deps,
  projectId: string,
  id: string,
  type: WebhookEventType,
  signal: AbortSignal,
): Promise<WebhookTestResult> {
  const endpoint = await findEndpoint(deps, projectId, id);
  const result = await deps.webhooks.test(endpoint, type, signal);
  if ('error' in result) throw apiError('webhook_endpoint_unreachable', { reason: result.error });
  return {
    object: 'webhook_endpoint.test',
    webhook_endpoint_id: id,
    event_type: type,
    success: true,
    status_code: result.status,
  };
}

/** What was not sent to it yet never is. */
export async function deleteEndpoint(
  deps: Deps,
  projectId: string,
  id: string,
  actor: Actor = 'client',
): Promise<DeletedWebhookEndpoint> {
  const audit = auditOf(actor, deps.clock.now(), 'webhook_endpoint.delete', id, { project: projectId });
  if (!(await deps.store.deleteEndpoint(projectId, id, audit))) throw apiError('webhook_endpoint_not_found', { id });
  deps.webhooks.changed();
  return { id, object: 'webhook_endpoint.deleted', deleted: true };
}

export async function findEndpoint(deps: Pick<Deps, 'store'>, projectId: string, id: string): Promise<StoredEndpoint> {
  const found = await deps.store.findEndpoint(projectId, id);
  if (found === undefined) throw apiError('webhook_endpoint_not_found', { id });
  return found;
}

function checkUrl(deps: Deps, url: string): void {
  const refusal = deps.webhooks.refusal(url);
  if (refusal !== undefined) throw apiError('invalid_value', { param: 'url', reason: refusal });
}

function toWire(endpoint: StoredEndpoint): WebhookEndpoint {
  return {
    id: endpoint.id,
    object: 'webhook_endpoint',
    created_at: Math.floor(endpoint.createdAt / 1000),
    updated_at: Math.floor(endpoint.updatedAt / 1000),
    name: endpoint.name,
    url: endpoint.url,
    event_types: endpoint.eventTypes,
    signing_secret_hint: `whsec_…${endpoint.secret.slice(-4)}`,
    disabled_at: endpoint.disabledAt === null ? null : Math.floor(endpoint.disabledAt / 1000),
    disabled_reason: endpoint.disabledReason,
  };
}

function toWireWithSecret(endpoint: StoredEndpoint): WebhookEndpointWithSecret {
  return { ...toWire(endpoint), signing_secret: endpoint.secret };
}
