import type { FastifyInstance } from 'fastify';
import { compactBody } from '../../protocol/compaction.ts';
import { countTokensBody } from '../../protocol/input-tokens.ts';
import { checkKeys } from '../../responses/check-request.ts';
import { compactConversation } from '../../responses/compact.ts';
import { countInputTokens } from '../../responses/count-input-tokens.ts';
import type { AppDeps } from '../deps.ts';
import { nameDropped } from '../name-dropped.ts';
import { parseObject } from '../parse-body.ts';
import { callerOf } from '../rate-headers.ts';
import { clientSignal, logOf } from '../request.ts';

/** What would answer in another form than these two do, or from somewhere else. */
const PROMISING = ['stream', 'background'];
const PROMISING_TO_COMPACT = [...PROMISING, 'store', 'conversation'];

/** `POST /v1/responses/input_tokens` and `POST /v1/responses/compact` */
export function prepareInputRoutes(app: FastifyInstance, deps: AppDeps): void {
  const { settings } = deps.responses;
  const { strict } = settings;
  app.post('/v1/responses/input_tokens', async (request, reply) => {
    const { raw, body } = parseObject(countTokensBody, request.body === undefined ? {} : request.body);
    checkKeys(raw, countTokensBody.shape, { strict, log: logOf(deps.log, request), promising: PROMISING });
    const counted = await countInputTokens(deps.responses, callerOf(request, reply), body, clientSignal(reply));
    nameDropped(reply, counted.dropped);
    return counted.inputTokens;
  });
  app.post('/v1/responses/compact', async (request, reply) => {
    const { raw, body } = parseObject(compactBody, request.body === undefined ? {} : request.body);
    checkKeys(raw, compactBody.shape, { strict, log: logOf(deps.log, request), promising: PROMISING_TO_COMPACT });
    return compactConversation(deps.responses, callerOf(request, reply), body, clientSignal(reply));
  });
}
