import type { FastifyReply } from 'fastify';
import { ApiError, apiError } from '../domain/errors.ts';
import { StoreUnavailable } from '../domain/ports.ts';

/** Errors -> answers. What is not a row of the error table is a fault of ours, or of the HTTP layer below. */

export function toApiErrorAt(error: unknown, requestId: string, bodyLimit: number): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof StoreUnavailable) return apiError('store_unavailable', { cause: error });
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return apiError('request_too_large', { limit: bodyLimit });
  if (typeof status === 'number' && status >= 400 && status < 500) {
    // It may quote the URL, which is as long as a client likes.
    const reason = error instanceof Error ? error.message.slice(0, 200) : '';
    return apiError('malformed_request', { reason, cause: error });
  }
  return apiError('server_error', { request_id: requestId, cause: error });
}

export function sendError(reply: FastifyReply, error: ApiError): FastifyReply {
  if (error.status === 401) reply.header('www-authenticate', 'Bearer realm="OpenAI API"');
  if (error.retryAfter !== undefined) reply.header('retry-after', String(error.retryAfter));
  if (error.shouldRetry !== undefined) reply.header('x-should-retry', String(error.shouldRetry));
  return reply.code(error.status).type('application/json').send(JSON.stringify(error.body));
}
