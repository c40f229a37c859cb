import Fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { apiError } from '../domain/errors.ts';
import { makeAuthenticate } from './authenticate.ts';
import type { AppDeps } from './deps.ts';
import { parseJson } from './parse-body.ts';
import { sendError, toApiErrorAt } from './render-error.ts';
import { stampDuration } from './request.ts';
import { healthRoutes } from './routes/health.ts';
import { modelRoutes } from './routes/models.ts';
import { createResponseRoute } from './routes/create-response.ts';
import { getResponseRoutes } from './routes/get-response.ts';
import { endResponseRoutes } from './routes/end-response.ts';

/** The HTTP server: every route, every header, every error. */

declare module 'fastify' {
  interface FastifyRequest {
    /** ms, by the clock */
    startedAt: number;
    projectId: string;
    requestId: string;
  }
  interface FastifyContextConfig {
    /** Answered without a key. */
    public?: boolean;
  }
}

/** What clients of OpenAI's API may look at. */
const OPENAI_VERSION = '2020-10-01';
const CLIENT_REQUEST_ID = /^[\u0020-\u007e]{0,512}$/;

export function makeApp(deps: AppDeps): FastifyInstance {
  const app = Fastify({
    bodyLimit: deps.bodyLimit,
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    frameworkErrors: (error, request, reply) => {
      void fail(deps, error, request, reply);
    },
  });
  const authenticate = makeAuthenticate(deps.apiKey);
  app.decorateRequest('startedAt', 0);
  app.decorateRequest('projectId', '');
  app.decorateRequest('requestId', '');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, parseJson(String(body)));
    } catch (error) {
      done(error as Error, undefined); // an ApiError
    }
  });
  app.addHook('onRequest', (request, reply, done) => {
    request.startedAt = deps.clock.now();
    request.requestId = deps.ids.request();
    reply.header('x-request-id', request.requestId);
    reply.header('openai-version', OPENAI_VERSION);
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
      request.projectId = authenticate(request.headers);
      done();
    } catch (error) {
      done(error as Error); // an ApiError
    }
  });
  app.addHook('onSend', (request, reply, _payload, done) => {
    stampDuration(deps.clock, request, reply);
    done();
  });
  app.setErrorHandler((error, request, reply) => fail(deps, error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    sendError(reply, apiError('unknown_url', { method: request.method, url: request.url.slice(0, 200) })),
  );
  healthRoutes(app, deps);
  modelRoutes(app, deps);
  createResponseRoute(app, deps);
  getResponseRoutes(app, deps);
  endResponseRoutes(app, deps);
  return app;
}

function fail(deps: AppDeps, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = toApiErrorAt(error, request.requestId, deps.bodyLimit);
  // Whoever has left is told nothing, and that is no fault of ours.
  if (known.status >= 500 && !reply.raw.destroyed) {
    deps.log.error({ err: error, request_id: request.requestId, row: known.row }, 'a request failed');
  }
  return sendError(reply, known);
}
