import { STATUS_CODES } from 'node:http';
import type { Server, ServerOptions } from 'node:http';
import type { Socket } from 'node:net';
import type { ConnectionError, FastifyReply } from 'fastify';
import { apiError } from '../domain/errors.ts';
import type { ApiError } from '../domain/errors.ts';
import type { Metrics } from '../domain/metrics.ts';
import type { Clock, Ids, Log } from '../domain/ports.ts';
import { UNKNOWN_ROUTE } from './unknown-route.ts';

/**
 * What a connection may take: how long a request may trickle in, how long a client may take nothing of its answer, and
 * how many there may be. Kept by Node's own timers, since they belong to sockets.
 */

export type ConnectionLimits = {
  /** From the beginning of the connection, or of the next request on it, to the end of the headers, ms. */
  headersMs: number;
  /** The same to the end of the body, ms. */
  requestMs: number;
  /** How long a client may take nothing of what is sent to it, ms. */
  stallMs: number;
  max: number;
};

/** What clients of OpenAI's API may look at. */
export const OPENAI_VERSION = '2020-10-01';

/** Node looks for late requests only so often; half of the time makes the bound one and a half of what it says. */
const MOST_OFTEN_MS = 30_000;

export function serverOptions({ headersMs, requestMs }: ConnectionLimits): ServerOptions {
  return {
    // The missing Host header is refused with the envelope.
    requireHostHeader: false,
    headersTimeout: Math.ceil(headersMs),
    requestTimeout: Math.ceil(requestMs),
    connectionsCheckingInterval: Math.ceil(Math.min(headersMs / 2, MOST_OFTEN_MS)),
  };
}

/** How often it is said that connections are dropped: each would be a line that a stranger writes. */
const DROPS_EVERY_MS = 10_000;

/** Connections beyond the limit are closed at once: there is no room to talk to them. */
export function limitConnections(server: Server, { max }: ConnectionLimits, clock: Clock, log: Log): void {
  server.maxConnections = max;
  let dropped = 0;
  let said = -Infinity;
  server.on('drop', () => {
    dropped += 1;
    if (clock.now() - said < DROPS_EVERY_MS) return;
    log.warn({ dropped, max }, 'connections were dropped: there are as many as server.max_connections allows');
    said = clock.now();
    dropped = 0;
  });
}

/** Cuts the connection when its client takes nothing of the answer for so long. */
export function cutWhenStalled({ raw, request }: FastifyReply, { stallMs }: ConnectionLimits, log: Log): void {
  raw.setTimeout(stallMs, () => {
    log.info({ request_id: request.requestId }, 'a client took nothing of its answer for too long: cut');
    raw.destroy();
  });
}

/** How long a client may leave the connection open after it was told why it is refused. */
const FAREWELL_MS = 1_000;

type RefuseDeps = { clock: Clock; ids: Ids; log: Log; metrics: Metrics; connections: ConnectionLimits };

/** What is no HTTP, or not in time: there is no request to answer, only a socket. */
export function refuseSocket(deps: RefuseDeps, error: ConnectionError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable || hasAnswer(socket)) {
    socket.destroy();
    return;
  }
  const refusal = refusalOf(error, deps.connections);
  const requestId = deps.ids.request();
  const { status } = refusal;
  deps.metrics.requestAnswered({ method: '', route: UNKNOWN_ROUTE, status });
  deps.log.info({ route: UNKNOWN_ROUTE, status, request_id: requestId, error: refusal.row }, 'request');
  const body = JSON.stringify(refusal.body);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    `x-request-id: ${requestId}`,
    `openai-version: ${OPENAI_VERSION}`,
    'openai-processing-ms: 0',
    ...(refusal.shouldRetry === undefined ? [] : [`x-should-retry: ${refusal.shouldRetry}`]),
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${isHead(error) ? '' : body}`);
  // Its own end is the client's to close, and it may never do so.
  const farewell = deps.clock.timer(FAREWELL_MS, () => socket.destroy());
  socket.once('close', () => farewell.cancel());
}

/** Another status in the middle of an answer would be taken for part of it. */
function hasAnswer(socket: Socket): boolean {
  const { _httpMessage: answer } = socket as Socket & { _httpMessage?: { headersSent: boolean } | null }; // node:http's own
  return answer?.headersSent === true;
}

function refusalOf(error: ConnectionError, { headersMs, requestMs }: ConnectionLimits): ApiError {
  if (error.code === 'HPE_HEADER_OVERFLOW') return apiError('headers_too_large');
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return apiError('request_timeout', { headers: headersMs / 1000, request: requestMs / 1000 });
  }
  return apiError('malformed_request', { reason: 'it is not valid HTTP' });
}

/** As far as its beginning is in the packet that could not be read: an answer to a HEAD has no body. */
function isHead({ rawPacket }: ConnectionError): boolean {
  return Buffer.isBuffer(rawPacket) && rawPacket.toString('latin1', 0, 5) === 'HEAD ';
}
