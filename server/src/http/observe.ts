import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AppDeps } from './deps.ts';

/**
 * One log line and one count for each request, when its connection has done with it. Of what a client wrote they hold
 * a method and an id that are as ours would be: no URL, no header, no body.
 */

/** As `ids.ts` makes them. Anything else in its place is a client's text. */
const RESPONSE_ID = /^resp_[0-9a-f]{50}$/;

export function observe(deps: AppDeps, request: FastifyRequest, reply: FastifyReply, route: string): void {
  const { raw } = reply;
  raw.once('close', () => {
    const status = raw.headersSent ? raw.statusCode : undefined;
    deps.metrics.requestAnswered({ method: request.method, route, status });
    const responseId = request.responseId === '' ? idIn(request.params) : request.responseId;
    deps.log.info(
      {
        method: request.method,
        route,
        status: status ?? null,
        duration_ms: Math.max(0, Math.round(deps.clock.now() - request.startedAt)),
        request_id: request.requestId,
        ...(responseId !== undefined && { response_id: responseId }),
        ...(request.refusal !== '' && { error: request.refusal }),
        ...(!raw.writableFinished && { cut: true }),
      },
      'request',
    );
  });
}

function idIn(params: unknown): string | undefined {
  const id = typeof params === 'object' && params !== null && 'id' in params ? params.id : undefined;
  return typeof id === 'string' && RESPONSE_ID.test(id) ? id : undefined;
}
