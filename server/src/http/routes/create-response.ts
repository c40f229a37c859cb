import type { FastifyInstance } from 'fastify';
import { apiError } from '../../domain/errors.ts';
import { createResponseBody } from '../../protocol/create-response.ts';
import { createResponse } from '../../responses/create.ts';
import type { AppDeps } from '../deps.ts';
import { sendEventStream } from '../event-stream.ts';
import { nameDropped } from '../name-dropped.ts';
import { parseObject } from '../parse-body.ts';
import { clientSignal, sendSnapshot, stampDuration } from '../request.ts';

/** `POST /v1/responses` */
export function createResponseRoute(app: FastifyInstance, deps: AppDeps): void {
  app.post('/v1/responses', async (request, reply) => {
    if (request.headers['idempotency-key'] !== undefined) throw apiError('idempotency_key_unsupported');
    const { raw, body } = parseObject(createResponseBody, request.body);
    const signal = clientSignal(reply);
    const created = await createResponse(deps.responses, request.projectId, raw, body, signal);
    nameDropped(reply, created.dropped);
    if (created.kind === 'response') {
      return sendSnapshot(reply, created.response);
    }
    stampDuration(deps.clock, request, reply);
    reply.header('x-response-id', created.id);
    await sendEventStream(reply, { ...deps, events: created.events, obfuscate: created.obfuscate, signal });
    return reply;
  });
}
