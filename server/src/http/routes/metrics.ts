import type { FastifyInstance } from 'fastify';
import { apiError } from '../../domain/errors.ts';
import { DEFAULT_PROJECT } from '../../domain/project-store.ts';
import type { AppDeps } from '../deps.ts';

/**
 * `GET /metrics`, for whom `server.metrics` says. Switched off there is no such URL. The figures are of the whole server,
 * and no project is told what another one does.
 */
export function metricsRoute(app: FastifyInstance, { exposition }: AppDeps): void {
  if (exposition === undefined) return;
  const { access, contentType, render } = exposition;
  app.get('/metrics', { config: { public: access === 'open' } }, async ({ projectId }, reply) => {
    if (access === 'key' && projectId !== DEFAULT_PROJECT) throw apiError('metrics_of_all');
    return reply.type(contentType).send(await render());
  });
}
