import type { FastifyInstance } from 'fastify';
import { retrieveProject } from '../../projects/projects.ts';
import { pageQuery } from '../../protocol/queries.ts';
import {
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
type EndpointRoute = { Params: { id: string; endpoint: string }; Querystring: Query };
type DeliveryRoute = { Params: { id: string; endpoint: string; delivery: string } };

const PLACE = '/admin/v1/projects/:id/webhook_endpoints';

/** The webhook endpoints of a project, as its own keys manage them under `/v1`. */
export function adminWebhookRoutes(app: FastifyInstance, { admin, responses: deps }: AppDeps): void {
  const there = (id: string): Promise<unknown> => retrieveProject(admin.projects, id);

  app.post<Route>(PLACE, async ({ params, body = {} }) => {
    await there(params.id);
    return createEndpoint(deps, params.id, parseObject(createWebhookEndpointBody, body).body, 'admin');
  });
  app.get<Route>(PLACE, async ({ params, query }) => {
    await there(params.id);
    return listEndpoints(deps, params.id, readQuery(pageQuery, query));
  });
  app.post<EndpointRoute>(`${PLACE}/:endpoint`, async ({ params, body = {} }) => {
    await there(params.id);
    return updateEndpoint(deps, params.id, params.endpoint, parseObject(updateWebhookEndpointBody, body).body, 'admin');
  });
  app.post<EndpointRoute>(`${PLACE}/:endpoint/rotate_secret`, async ({ params, body = {} }) => {
    await there(params.id);
    const { keep_old_secret_active_for_24_hours: keepOld } = parseObject(rotateSecretBody, body).body;
    return rotateSecret(deps, params.id, params.endpoint, keepOld ?? false, 'admin');
  });
  app.delete<EndpointRoute>(`${PLACE}/:endpoint`, async ({ params }) => {
    await there(params.id);
    return deleteEndpoint(deps, params.id, params.endpoint, 'admin');
  });
  app.post<EndpointRoute>(`${PLACE}/:endpoint/test`, async ({ params, body = {} }, reply) => {
    await there(params.id);
    const { event_type } = parseObject(testWebhookEndpointBody, body).body;
    return testEndpoint(deps, params.id, params.endpoint, event_type, clientSignal(reply));
  });
  app.get<EndpointRoute>(`${PLACE}/:endpoint/deliveries`, async ({ params, query }) => {
    await there(params.id);
    return listDeliveries(deps, params.id, params.endpoint, readQuery(pageQuery, query));
  });
  app.post<DeliveryRoute>(`${PLACE}/:endpoint/deliveries/:delivery/redeliver`, async ({ params }) => {
    await there(params.id);
    return redeliver(deps, params.id, params.endpoint, params.delivery, 'admin');
  });
}
