import { auditOf } from '../domain/audit.ts';
import type { Actor } from '../domain/audit.ts';
import { apiError } from '../domain/errors.ts';
import { toListPage } from '../domain/list-page.ts';
import type { PageQuery, StoredDelivery } from '../domain/webhook-store.ts';
import type { ListPage } from '../protocol/list.ts';
import type { WebhookDelivery } from '../protocol/webhooks.ts';
import type { ResponsesDeps } from './deps.ts';
import { findEndpoint } from './webhook-endpoints.ts';

/** What became of the events at an endpoint. Kept as long as their responses are. */

type Deps = Pick<ResponsesDeps, 'store' | 'webhooks' | 'clock'>;

export async function listDeliveries(
  deps: Deps,
  projectId: string,
  endpointId: string,
  query: PageQuery,
): Promise<ListPage<WebhookDelivery>> {
  const page = await deps.store.listDeliveries(projectId, endpointId, query);
  if (page.outcome === 'absent') throw apiError('webhook_endpoint_not_found', { id: endpointId });
  return toListPage(page, query, (delivery) => toWire(endpointId, delivery));
}

/** By hand, at once, under the same id; on failure it is tried again for as long as a new one. */
export async function redeliver(
  deps: Deps,
  projectId: string,
  endpointId: string,
  id: string,
  actor: Actor = 'client',
): Promise<WebhookDelivery> {
  const endpoint = await findEndpoint(deps, projectId, endpointId);
  const now = deps.clock.now();
  const detail = { project: projectId, endpoint: endpointId };
  const audit = auditOf(actor, now, 'webhook_delivery.redeliver', id, detail);
  const outcome = await deps.store.redeliver(projectId, endpointId, id, now, audit);
  if (outcome === 'absent') throw apiError('webhook_delivery_not_found', { id, endpoint: endpointId });
  if (outcome === 'disabled') throw apiError('webhook_endpoint_disabled', { reason: endpoint.disabledReason });
  deps.webhooks.changed();
  return toWire(endpointId, outcome);
}

function toWire(endpointId: string, delivery: StoredDelivery): WebhookDelivery {
  return {
    id: delivery.id,
    object: 'webhook_delivery',
    webhook_endpoint_id: endpointId,
    type: delivery.type,
    response_id: delivery.responseId,
    created_at: Math.floor(delivery.createdAt / 1000),
    state: delivery.state,
    next_attempt_at: delivery.state === 'pending' ? Math.ceil(delivery.nextAt / 1000) : null,
    attempts: delivery.attempts.map((attempt) => ({
      at: Math.floor(attempt.at / 1000),
      status: 'status' in attempt ? attempt.status : null,
      error: 'error' in attempt ? attempt.error : null,
    })),
  };
}
