import type { FastifyInstance } from 'fastify';
import { createKey, listKeys, revokeKey } from '../../projects/keys.ts';
import { listAudit, listResponses, recordShown } from '../../projects/look.ts';
import { createProject, deleteProject, listProjects, retrieveProject, updateProject } from '../../projects/projects.ts';
import { createKeyBody, createProjectBody, responsesQuery, updateProjectBody } from '../../protocol/admin.ts';
import { pageQuery } from '../../protocol/queries.ts';
import { cancelResponse } from '../../responses/cancel.ts';
import { retrieveResponse } from '../../responses/retrieve.ts';
import type { AppDeps } from '../deps.ts';
import { parseObject } from '../parse-body.ts';
import { readQuery } from '../query.ts';
import type { Query } from '../query.ts';
import { clientSignal, sendSnapshot } from '../request.ts';

type List = { Querystring: Query };
type Route = { Params: { id: string }; Querystring: Query };
type KeyRoute = { Params: { id: string; key: string } };
type ResponseRoute = { Params: { id: string; response: string } };

/** `/admin/v1/projects` and what is below it, `/admin/v1/audit` */
export function adminProjectRoutes(app: FastifyInstance, { admin, responses }: AppDeps): void {
  const { projects: deps } = admin;

  app.get<List>('/admin/v1/audit', async ({ query }) => listAudit(deps, readQuery(pageQuery, query)));

  app.post('/admin/v1/projects', async ({ body = {} }) =>
    createProject(deps, parseObject(createProjectBody, body).body),
  );
  app.get<List>('/admin/v1/projects', async ({ query }) => listProjects(deps, readQuery(pageQuery, query)));
  app.get<Route>('/admin/v1/projects/:id', async ({ params }) => retrieveProject(deps, params.id));
  app.post<Route>('/admin/v1/projects/:id', async ({ params, body = {} }) =>
    updateProject(deps, params.id, parseObject(updateProjectBody, body).body),
  );
  app.delete<Route>('/admin/v1/projects/:id', async ({ params }) => deleteProject(deps, params.id));

  app.post<Route>('/admin/v1/projects/:id/keys', async ({ params, body = {} }) =>
    createKey(deps, params.id, parseObject(createKeyBody, body).body),
  );
  app.get<Route>('/admin/v1/projects/:id/keys', async ({ params, query }) =>
    listKeys(deps, params.id, readQuery(pageQuery, query)),
  );
  app.delete<KeyRoute>('/admin/v1/projects/:id/keys/:key', async ({ params }) =>
    revokeKey(deps, params.id, params.key),
  );

  app.get<Route>('/admin/v1/projects/:id/responses', async ({ params, query }) =>
    listResponses(deps, params.id, readQuery(responsesQuery, query)),
  );
  app.get<ResponseRoute>('/admin/v1/projects/:id/responses/:response', async ({ params }, reply) => {
    await retrieveProject(deps, params.id);
    const snapshot = await retrieveResponse(responses, params.id, params.response);
    await recordShown(deps, params.id, params.response);
    return sendSnapshot(reply, snapshot);
  });
  app.post<ResponseRoute>('/admin/v1/projects/:id/responses/:response/cancel', async ({ params }, reply) => {
    await retrieveProject(deps, params.id);
    return sendSnapshot(
      reply,
      await cancelResponse(responses, params.id, params.response, clientSignal(reply), 'admin'),
    );
  });
}
