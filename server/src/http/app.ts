import Fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ApiError, apiError } from '../domain/errors.ts';
import type { StoredKey } from '../domain/project-store.ts';
import { withAllowedMethods } from './allowed-methods.ts';
import { ORGANIZATION, makeAuthenticate, makeAuthenticateAdmin } from './authenticate.ts';
import type { Known } from './authenticate.ts';
import { makeCompress } from './compress.ts';
import { OPENAI_VERSION, cutWhenStalled, limitConnections, refuseSocket, serverOptions } from './connections.ts';
import { addCorsHeaders, answerPreflight } from './cors.ts';
import type { AppDeps } from './deps.ts';
import { observe } from './observe.ts';
import { UNKNOWN_ROUTE } from './unknown-route.ts';
import { parseJson } from './parse-body.ts';
import { sendError, toApiErrorAt } from './render-error.ts';
import { stampDuration } from './request.ts';
import { adminProjectRoutes } from './routes/admin-projects.ts';
import { adminWebhookRoutes } from './routes/admin-webhooks.ts';
import { adminRoutes } from './routes/admin.ts';
import { healthRoutes } from './routes/health.ts';
import { metricsRoute } from './routes/metrics.ts';
import { modelRoutes } from './routes/models.ts';
import { conversationRoutes } from './routes/conversations.ts';
import { createResponseRoute } from './routes/create-response.ts';
import { getResponseRoutes } from './routes/get-response.ts';
import { openApiRoute } from './routes/openapi.ts';
import { prepareInputRoutes } from './routes/prepare-input.ts';
import { endResponseRoutes } from './routes/end-response.ts';
import { webhookEndpointRoutes } from './routes/webhook-endpoints.ts';

/** The HTTP server: every route, every header, every error. */

declare module 'fastify' {
  interface FastifyRequest {
    /** ms, by the clock */
    startedAt: number;
    projectId: string;
    /** Undefined unless it is one of a project. */
    apiKey: StoredKey | undefined;
    requestId: string;
    /** Of the response that it made. */
    responseId: string;
    /** The row of the error table that it was answered with. */
    refusal: string;
  }
  interface FastifyContextConfig {
    /** Answered without a key. */
    public?: boolean;
  }
}

const CLIENT_REQUEST_ID = /^[\u0020-\u007e]{0,512}$/;

export function makeApp(deps: AppDeps): FastifyInstance {
  const app = Fastify({
    bodyLimit: deps.bodyLimit,
    forceCloseConnections: true,
    // As long as a request line can be: a long id is a 404 like any other.
    routerOptions: { maxParamLength: 16_384 },
    requestTimeout: Math.ceil(deps.connections.requestMs),
    http: serverOptions(deps.connections),
    frameworkErrors: (error, request, reply) => {
      greet(deps, request, reply, UNKNOWN_ROUTE);
      stampDuration(deps.clock, request, reply);
      void fail(deps, error, request, reply);
    },
    clientErrorHandler: (error, socket) => {
      refuseSocket(deps, error, socket);
    },
  });
  limitConnections(app.server, deps.connections, deps.clock, deps.log);
  const authenticate = makeAuthenticate(deps);
  const authenticateAdmin = makeAuthenticateAdmin(deps.admin.key);
  app.decorateRequest('startedAt', 0);
  app.decorateRequest('projectId', '');
  app.decorateRequest('apiKey', undefined);
  app.decorateRequest('requestId', '');
  app.decorateRequest('responseId', '');
  app.decorateRequest('refusal', '');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, parseJson(String(body)));
    } catch (error) {
      done(error as Error, undefined); // an ApiError
    }
  });
  app.addHook('onRequest', (request, reply, done) => {
    greet(deps, request, reply, request.routeOptions.url ?? UNKNOWN_ROUTE);
    if (answerPreflight(deps.cors, request, reply)) return;
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      done(apiError('malformed_request', { reason: 'it has no Host header' }));
      return;
    }
    if (request.routeOptions.config.public === true) {
      done();
      return;
    }
    try {
      const clientId = request.headers['x-client-request-id'];
      if (clientId !== undefined && !CLIENT_REQUEST_ID.test(String(clientId))) {
        throw apiError('invalid_value', {
          param: 'X-Client-Request-Id',
          reason: 'must be at most 512 ASCII characters',
        });
      }
      if (isForAdmin(request)) {
        authenticateAdmin(request.headers);
        done();
        return;
      }
      const known = authenticate(request.headers);
      const admit = ({ projectId, key }: Known): void => {
        request.projectId = projectId;
        request.apiKey = key;
        reply.header('openai-organization', ORGANIZATION);
        reply.header('openai-project', projectId);
        done();
      };
      if (known instanceof Promise) known.then(admit, done);
      else admit(known);
    } catch (error) {
      done(error as Error); // an ApiError
    }
  });
  app.addHook('onSend', (request, reply, _payload, done) => {
    stampDuration(deps.clock, request, reply);
    cutWhenStalled(reply, deps.connections, deps.log);
    done();
  });
  app.addHook('onSend', makeCompress());
  app.setErrorHandler((error, request, reply) => fail(deps, error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    fail(deps, apiError('unknown_url', { method: request.method, url: request.url.slice(0, 200) }), request, reply),
  );
  withAllowedMethods(app, () => {
    healthRoutes(app, deps);
    metricsRoute(app, deps);
    openApiRoute(app, deps);
    modelRoutes(app, deps);
    createResponseRoute(app, deps);
    prepareInputRoutes(app, deps);
    getResponseRoutes(app, deps);
    conversationRoutes(app, deps);
    endResponseRoutes(app, deps);
    webhookEndpointRoutes(app, deps);
    adminRoutes(app, deps);
    adminProjectRoutes(app, deps);
    adminWebhookRoutes(app, deps);
  });
  return app;
}

/** By the route as it was found, since a URL can be spelled in many ways; by the URL where there is no route. */
function isForAdmin({ routeOptions, url }: FastifyRequest): boolean {
  return (routeOptions.url ?? url).startsWith('/admin/');
}

/** What every answer carries. */
function greet(deps: AppDeps, request: FastifyRequest, reply: FastifyReply, route: string): void {
  request.startedAt = deps.clock.now();
  request.requestId = deps.ids.request();
  observe(deps, request, reply, route);
  reply.header('x-request-id', request.requestId);
  reply.header('openai-version', OPENAI_VERSION);
  addCorsHeaders(deps.cors, request, reply);
}

function fail(deps: AppDeps, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toApiErrorAt(error, request.requestId, deps.bodyLimit);
  request.refusal = known.row;
  // Whoever has left is told nothing, and that is no fault of ours.
  if (known.status >= 500 && !reply.raw.destroyed) {
    // The message of a row may quote an upstream, which may quote the request.
    const err = error instanceof ApiError ? undefined : error;
    deps.log.error({ err, request_id: request.requestId, row: known.row }, 'a request failed');
  }
  return sendError(reply, known);
}
