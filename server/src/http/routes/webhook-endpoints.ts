import type { FastifyInstance } from 'fastify';
import { pageQuery } from '../../protocol/queries.ts';
import {
  WEBHOOK_EVENT_TYPES,
  createWebhookEndpointBody,
  rotateSecretBody,
  testWebhookEndpointBody,
  updateWebhookEndpointBody,
} from '../../protocol/webhooks.ts';
import { listDeliveries, redeliver } from '../../responses/webhook-deliveries.ts';
import {
  createEndpoint,
  deleteEndpoint,
  listEndpoints,
  retrieveEndpoint,
  rotateSecret,
  testEndpoint,
  updateEndpoint,
} from '../../responses/webhook-endpoints.ts';
import type { AppDeps } from '../deps.ts';
import { parseObject } from '../parse-body.ts';
import { readQuery } from '../query.ts';
import type { Query } from '../query.ts';
import { clientSignal } from '../request.ts';

type Route = { Params: { id: string }; Querystring: Query };
type DeliveryRoute = { Params: { id: string; delivery: string } };

/** `/v1/webhook_endpoints` and what is below it, `/v1/webhook_event_types` */
export function webhookEndpointRoutes(app: FastifyInstance, { responses: deps }: AppDeps): void {
  app.get('/v1/webhook_event_types', () => ({ object: 'list', data: WEBHOOK_EVENT_TYPES }));

  app.post('/v1/webhook_endpoints', async ({ body = {}, projectId }) =>
    createEndpoint(deps, projectId, parseObject(createWebhookEndpointBody, body).body),
  );
  app.get<{ Querystring: Query }>('/v1/webhook_endpoints', async ({ query, projectId }) =>
    listEndpoints(deps, projectId, readQuery(pageQuery, query)),
  );
  app.get<Route>('/v1/webhook_endpoints/:id', async ({ params, projectId }) =>
    retrieveEndpoint(deps, projectId, params.id),
  );
  app.post<Route>('/v1/webhook_endpoints/:id', async ({ params, body = {}, projectId }) =>
    updateEndpoint(deps, projectId, params.id, parseObject(updateWebhookEndpointBody, body).body),
  );
  app.delete<Route>('/v1/webhook_endpoints/:id', async ({ params, projectId }) =>
    deleteEndpoint(deps, projectId, params.id),
  );

  app.post<Route>('/v1/webhook_endpoints/:id/rotate_secret', async ({ params, body = {}, projectId }) => {
    const { keep_old_secret_active_for_24_hours: keepOld } = parseObject(rotateSecretBody, body).body;
    return rotateSecret(deps, projectId, params.id, keepOld ?? false);
  });
  app.post<Route>('/v1/webhook_endpoints/:id/test', async ({ params, body = {}, projectId }, reply) => {
    const { event_type } = parseObject(testWebhookEndpointBody, body).body;
    return testEndpoint(deps, projectId, params.id, event_type, clientSignal(reply));
  });

  app.get<Route>('/v1/webhook_endpoints/:id/deliveries', async ({ params, query, projectId }) =>
    listDeliveries(deps, projectId, params.id, readQuery(pageQuery, query)),
  );
  app.post<DeliveryRoute>('/v1/webhook_endpoints/:id/deliveries/:delivery/redeliver', async ({ params, projectId }) =>
    redeliver(deps, projectId, params.id, params.delivery),
  );
}
