import type { FastifyInstance } from 'fastify';
import { apiError } from '../../domain/errors.ts';
import { listInputItems } from '../../responses/list-input-items.ts';
import { resumeResponse, retrieveResponse } from '../../responses/retrieve.ts';
import type { AppDeps } from '../deps.ts';
import { sendEventStream } from '../event-stream.ts';
import { booleanOf, integerOf, itemsQuery, listOf } from '../query.ts';
import type { Query } from '../query.ts';
import { clientSignal, sendSnapshot, stampDuration } from '../request.ts';

type Route = { Params: { id: string }; Querystring: Query };

/** `GET /v1/responses/{id}` and `GET /v1/responses/{id}/input_items` */
export function getResponseRoutes(app: FastifyInstance, deps: AppDeps): void {
  app.get<Route>('/v1/responses/:id', async (request, reply) => {
    const { query, projectId } = request;
    const { id } = request.params;
    if (listOf(query, 'include').includes('reasoning.encrypted_content')) throw apiError('encrypted_content_of_stored');
    const after = integerOf(query, 'starting_after', -1);
    const obfuscate = booleanOf(query, 'include_obfuscation') ?? false;
    if (booleanOf(query, 'stream') !== true) {
      return sendSnapshot(reply, await retrieveResponse(deps.responses, projectId, id));
    }
    const signal = clientSignal(reply);
    const events = await resumeResponse(deps.responses, projectId, id, after ?? -1, signal);
    stampDuration(deps.clock, request, reply);
    await sendEventStream(reply, { ...deps, events, obfuscate, signal });
    return reply;
  });

  app.get<Route>('/v1/responses/:id/input_items', async ({ params, query, projectId }) =>
    listInputItems(deps.responses, projectId, params.id, itemsQuery(query)),
  );
}
