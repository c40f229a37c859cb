import type { FastifyInstance } from 'fastify';
import { apiError } from '../../domain/errors.ts';
import { createResponseBody } from '../../protocol/create-response.ts';
import { createResponse } from '../../responses/create.ts';
import type { AppDeps } from '../deps.ts';
import { sendEventStream } from '../event-stream.ts';
import { parseObject } from '../parse-body.ts';
import { clientSignal, sendSnapshot, stampDuration } from '../request.ts';

/** `POST /v1/responses` */
export function createResponseRoute(app: FastifyInstance, deps: AppDeps): void {
  app.post('/v1/responses', async (request, reply) => {
    if (request.headers['idempotency-key'] !== undefined) throw apiError('idempotency_key_unsupported');
    const { raw, body } = parseObject(createResponseBody, request.body);
    const signal = clientSignal(reply);
    const created = await createResponse(deps.responses, request.projectId, raw, body, signal);
    if (created.dropped.length > 0) reply.header('holt-dropped', headerList(created.dropped));
    if (created.kind === 'response') {
      return sendSnapshot(reply, created.response);
    }
    stampDuration(deps.clock, request, reply);
    reply.header('x-response-id', created.id);
    await sendEventStream(reply, { ...deps, events: created.events, obfuscate: created.obfuscate, signal });
    return reply;
  });
}

/** Clients give up on heads of some 16 kB. */
const LIST_CHARACTERS = 4_096;

/** What clients wrote is in it, so nothing but plain characters. */
function headerList(names: readonly string[]): string {
  let list = '';
  for (const [index, name] of names.entries()) {
    const plain = name.slice(0, 200).replaceAll(/[^\w.[\]=/-]/g, '_');
    if (list.length + plain.length > LIST_CHARACTERS) return `${list}, and ${names.length - index} more`;
    list += index === 0 ? plain : `, ${plain}`;
  }
  return list;
}
