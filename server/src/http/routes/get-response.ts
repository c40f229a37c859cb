import type { FastifyInstance } from 'fastify';
import { apiError } from '../../domain/errors.ts';
import { itemsQuery, retrieveQuery } from '../../protocol/queries.ts';
import { listInputItems } from '../../responses/list-input-items.ts';
import { resumeResponse, retrieveResponse } from '../../responses/retrieve.ts';
import { waitForResponse } from '../../responses/wait.ts';
import type { AppDeps } from '../deps.ts';
import { sendEventStream } from '../event-stream.ts';
import { readQuery } from '../query.ts';
import type { Query } from '../query.ts';
import { clientSignal, logOf, sendSnapshot, stampDuration, tellPlace } from '../request.ts';

type Route = { Params: { id: string }; Querystring: Query };

/** Who has waited asks again at once: the wait was the pause. */
const POLL_AFTER_WAIT_MS = 0;

/** `GET /v1/responses/{id}` and `GET /v1/responses/{id}/input_items` */
export function getResponseRoutes(app: FastifyInstance, deps: AppDeps): void {
  app.get<Route>('/v1/responses/:id', async (request, reply) => {
    const { query, projectId } = request;
    const { id } = request.params;
    const {
      starting_after: after = -1,
      include_obfuscation: obfuscate = false,
      stream,
      wait,
    } = readQuery(retrieveQuery, query);
    if (stream === true && wait !== undefined) {
      throw apiError('unsupported_parameter', { param: 'wait', reason: 'cannot be used with a stream' });
    }
    if (stream !== true && wait === undefined) {
      const { snapshot, place } = await retrieveResponse(deps.responses, projectId, id);
      tellPlace(reply, place);
      return sendSnapshot(reply, snapshot);
    }
    const signal = clientSignal(reply);
    if (wait !== undefined) {
      const { snapshot, place } = await waitForResponse(deps.responses, projectId, id, wait * 1_000, signal);
      tellPlace(reply, place);
      return sendSnapshot(reply, snapshot, POLL_AFTER_WAIT_MS);
    }
    const events = await resumeResponse(deps.responses, projectId, id, after, signal);
    request.responseId = id; // it was found, so it is one of ours
    stampDuration(deps.clock, request, reply);
    await sendEventStream(reply, { ...deps, log: logOf(deps.log, request), events, obfuscate, signal });
    return reply;
  });

  app.get<Route>('/v1/responses/:id/input_items', async ({ params, query, projectId }) =>
    listInputItems(deps.responses, projectId, params.id, readQuery(itemsQuery, query)),
  );
}
