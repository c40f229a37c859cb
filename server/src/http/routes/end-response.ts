import type { FastifyInstance } from 'fastify';
import { cancelResponse } from '../../responses/cancel.ts';
import { deleteResponse } from '../../responses/delete.ts';
import type { AppDeps } from '../deps.ts';
import { clientSignal, sendSnapshot } from '../request.ts';

type Route = { Params: { id: string } };

/** `POST /v1/responses/{id}/cancel` and `DELETE /v1/responses/{id}`; a body is read and ignored. */
export function endResponseRoutes(app: FastifyInstance, deps: AppDeps): void {
  app.post<Route>('/v1/responses/:id/cancel', async (request, reply) =>
    sendSnapshot(
      reply,
      await cancelResponse(deps.responses, request.projectId, request.params.id, clientSignal(reply)),
    ),
  );
  app.delete<Route>('/v1/responses/:id', async (request, reply) =>
    deleteResponse(deps.responses, request.projectId, request.params.id, clientSignal(reply)),
  );
}
