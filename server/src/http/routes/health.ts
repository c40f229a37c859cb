import type { FastifyInstance } from 'fastify';
import type { AppDeps } from '../deps.ts';

/** `/healthz`: the process lives. `/readyz`: it can take work. Both without a key, for probes. */
export function healthRoutes(app: FastifyInstance, deps: AppDeps): void {
  app.get('/healthz', { config: { public: true } }, () => ({ status: 'ok' }));
  app.get('/readyz', { config: { public: true } }, (_request, reply) => {
    const ready = deps.ready();
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ok' : 'starting or stopping' });
  });
}
