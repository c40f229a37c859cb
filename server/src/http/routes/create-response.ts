import type { FastifyInstance } from 'fastify';
import { apiError } from '../../domain/errors.ts';
import { createResponseBody } from '../../protocol/create-response.ts';
import { createResponse } from '../../responses/create.ts';
import type { AppDeps } from '../deps.ts';
import { sendEventStream } from '../event-stream.ts';
import { nameDropped } from '../name-dropped.ts';
import { parseObject } from '../parse-body.ts';
import { callerOf } from '../rate-headers.ts';
import { clientSignal, logOf, sendSnapshot, stampDuration } from '../request.ts';

/** `POST /v1/responses` */
export function createResponseRoute(app: FastifyInstance, deps: AppDeps): void {
  app.post('/v1/responses', async (request, reply) => {
    if (request.headers['idempotency-key'] !== undefined) throw apiError('idempotency_key_unsupported');
    const { raw, body } = parseObject(createResponseBody, request.body);
    const signal = clientSignal(reply);
    const responses = { ...deps.responses, log: logOf(deps.log, request) };
    const created = await createResponse(responses, callerOf(request, reply), raw, body, signal);
    request.responseId = created.kind === 'response' ? created.response.id : created.id;
    nameDropped(reply, created.dropped);
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
