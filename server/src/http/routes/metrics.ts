import type { FastifyInstance } from 'fastify';
import type { AppDeps } from '../deps.ts';

/** `GET /metrics`, for whom `server.metrics` says. Switched off there is no such URL. */
export function metricsRoute(app: FastifyInstance, { exposition }: AppDeps): void {
  if (exposition === undefined) return;
  const { access, contentType, render } = exposition;
  app.get('/metrics', { config: { public: access === 'open' } }, async (_request, reply) =>
    reply.type(contentType).send(await render()),
  );
}
