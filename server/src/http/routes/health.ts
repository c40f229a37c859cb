import type { FastifyInstance } from 'fastify';
import type { AppDeps } from '../deps.ts';

/** `/healthz`: the process lives. `/readyz`: it can take work. Both without a key, for probes. */
export function healthRoutes(app: FastifyInstance, deps: AppDeps): void {
  app.get('/healthz', { config: { public: true } }, () => ({ status: 'ok' }));
  app.get('/readyz', { config: { public: true } }, async (_request, reply) => {
    const reason = await deps.unready();
    return reply.code(reason === undefined ? 200 : 503).send({ status: reason ?? 'ok' });
  });
}
