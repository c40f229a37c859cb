import type { FastifyInstance } from 'fastify';
import { createResponseBody } from '../../protocol/create-response.ts';
import { createResponse } from '../../responses/create.ts';
import type { AppDeps } from '../deps.ts';
import { sendEventStream } from '../event-stream.ts';
import { readIdempotencyKey } from '../idempotency-key.ts';
import { nameDropped } from '../name-dropped.ts';
import { parseObject } from '../parse-body.ts';
import { callerOf } from '../rate-headers.ts';
import { clientSignal, logOf, sendSnapshot, stampDuration, tellPlace } from '../request.ts';

/** `POST /v1/responses` */
export function createResponseRoute(app: FastifyInstance, deps: AppDeps): void {
  app.post('/v1/responses', async (request, reply) => {
    const { raw, body } = parseObject(createResponseBody, request.body);
    const signal = clientSignal(reply);
    const responses = { ...deps.responses, log: logOf(deps.log, request) };
    const idempotency = readIdempotencyKey(request, raw);
    const created = await createResponse(responses, callerOf(request, reply), { raw, body, idempotency }, signal);
    request.responseId = created.id;
    if (created.replayed) reply.header('idempotent-replayed', 'true');
    nameDropped(reply, created.dropped);
    tellPlace(reply, { position: created.position });
    if (created.kind === 'response') {
      return sendSnapshot(reply, created.response);
    }
    stampDuration(deps.clock, request, reply);
    reply.header('x-response-id', created.id);
    const { events, obfuscate } = created;
    await sendEventStream(reply, { ...deps, log: logOf(deps.log, request), events, obfuscate, signal });
    return reply;
  });
}
