import type { FastifyReply, FastifyRequest } from 'fastify';
import { RATE_HEADERS } from './rate-headers.ts';
import { addVary } from './request.ts';

/**
 * Which pages of other origins may ask: `server.cors`. Keys travel in a header that a page has to set itself, so no
 * credentials of a browser are ever allowed.
 */
export type CorsPolicy = 'none' | '*' | readonly string[];

const METHODS = 'GET, HEAD, POST, DELETE, OPTIONS';
/** As long as the browser that remembers the longest without cutting it (Chrome) will, seconds. */
const MAX_AGE = '7200';
/** What Holt says in headers beyond those that a page may read anyway. */
const EXPOSED = [
  'holt-dropped',
  'holt-queue-position',
  'holt-queue-wait-ms',
  'idempotent-replayed',
  'openai-organization',
  'openai-poll-after-ms',
  'openai-processing-ms',
  'openai-project',
  'openai-version',
  'retry-after',
  'www-authenticate',
  ...RATE_HEADERS,
  'x-request-id',
  'x-response-id',
  'x-should-retry',
].join(', ');

export function allowsOrigin(policy: CorsPolicy, origin: string | undefined): boolean {
  if (origin === undefined || policy === 'none') return false;
  return policy === '*' || policy.includes(origin);
}

/** On every answer, errors and streams too: without these headers a page learns nothing but that something failed. */
export function addCorsHeaders(policy: CorsPolicy, request: FastifyRequest, reply: FastifyReply): void {
  if (policy === 'none') return;
  // For caches also where there is no origin: the same URL answers others differently.
  addVary(reply, 'Origin');
  const { origin } = request.headers;
  if (origin === undefined || !allowsOrigin(policy, origin)) return;
  reply.header('access-control-allow-origin', policy === '*' ? '*' : origin);
  reply.header('access-control-expose-headers', EXPOSED);
}

/** Whether the request was the question of a browser if a page may ask; then it is answered, whatever the URL. */
export function answerPreflight(policy: CorsPolicy, request: FastifyRequest, reply: FastifyReply): boolean {
  const { headers, method } = request;
  if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return false;
  if (!allowsOrigin(policy, headers.origin)) return false;
  reply.header('access-control-allow-methods', METHODS);
  reply.header('access-control-max-age', MAX_AGE);
  const asked = headers['access-control-request-headers'];
  if (asked !== undefined && asked !== '') {
    // Whatever a client wants to send: the official ones add headers of their own with every version.
    reply.header('access-control-allow-headers', asked);
    addVary(reply, 'Access-Control-Request-Headers');
  }
  void reply.code(204).send();
  return true;
}
