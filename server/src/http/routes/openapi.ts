import type { FastifyInstance } from 'fastify';
import type { AppDeps } from '../deps.ts';
import { renderOpenApi } from '../openapi.ts';

/** `GET /openapi.json`, without a key: it says what the server can do, and nothing of what it holds. */
export function openApiRoute(app: FastifyInstance, { version }: AppDeps): void {
  let rendered: string | undefined;
  app.get('/openapi.json', { config: { public: true } }, (_request, reply) => {
    rendered ??= renderOpenApi(version);
    return reply.type('application/json').send(rendered);
  });
}
