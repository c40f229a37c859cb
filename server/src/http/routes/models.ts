import type { FastifyInstance } from 'fastify';
import { apiError } from '../../domain/errors.ts';
import type { AppDeps } from '../deps.ts';

/** An upstream that is slow to list its models must not hang the list of ours, ms. */
const UPSTREAM_LIST_MS = 5_000;

/** `GET /v1/models` and `GET /v1/models/{model}`; a model's name may hold slashes and colons. */
export function modelRoutes(app: FastifyInstance, deps: AppDeps): void {
  const { models } = deps.responses;
  const list = () => models.list(AbortSignal.timeout(UPSTREAM_LIST_MS));

  app.get('/v1/models', async () => ({ object: 'list', data: await list() }));

  app.get<{ Params: { '*': string } }>('/v1/models/*', async (request) => {
    const name = request.params['*'];
    const found = (await list()).find((model) => model.id === name);
    if (found === undefined) throw apiError('model_unknown', { model: name });
    return found;
  });
}
