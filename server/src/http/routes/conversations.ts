import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { addItemsBody, createConversationBody, updateConversationBody } from '../../protocol/conversation.ts';
import { includeQuery, itemsQuery } from '../../protocol/queries.ts';
import { checkKeys } from '../../responses/check-request.ts';
import {
  addConversationItems,
  deleteConversationItem,
  listConversationItems,
  retrieveConversationItem,
} from '../../responses/conversation-items.ts';
import {
  createConversation,
  deleteConversation,
  retrieveConversation,
  updateConversation,
} from '../../responses/conversations.ts';
import type { AppDeps } from '../deps.ts';
import { parseObject } from '../parse-body.ts';
import { readQuery } from '../query.ts';
import { logOf } from '../request.ts';
import type { Query } from '../query.ts';

type Route = { Params: { id: string }; Querystring: Query };
type ItemRoute = { Params: { id: string; item: string }; Querystring: Query };

/** `/v1/conversations` and what is below it */
export function conversationRoutes(app: FastifyInstance, { responses: deps }: AppDeps): void {
  const { strict } = deps.settings;
  const parse = <T>(schema: z.ZodType<T> & { shape: object }, request: FastifyRequest): T => {
    const { raw, body } = parseObject(schema, request.body === undefined ? {} : request.body);
    checkKeys(raw, schema.shape, { strict, log: logOf(deps.log, request) });
    return body;
  };
  app.post('/v1/conversations', async (request) => {
    const { metadata, items } = parse(createConversationBody, request);
    return createConversation(deps, request.projectId, metadata ?? {}, items ?? []);
  });
  app.get<Route>('/v1/conversations/:id', async ({ params, projectId }) =>
    retrieveConversation(deps, projectId, params.id),
  );
  app.post<Route>('/v1/conversations/:id', async (request) => {
    const { metadata } = parse(updateConversationBody, request);
    return updateConversation(deps, request.projectId, request.params.id, metadata);
  });
  app.delete<Route>('/v1/conversations/:id', async ({ params, projectId }) =>
    deleteConversation(deps, projectId, params.id),
  );

  app.post<Route>('/v1/conversations/:id/items', async (request) => {
    readQuery(includeQuery, request.query);
    const { items } = parse(addItemsBody, request);
    return addConversationItems(deps, request.projectId, request.params.id, items);
  });
  app.get<Route>('/v1/conversations/:id/items', async ({ params, query, projectId }) =>
    listConversationItems(deps, projectId, params.id, readQuery(itemsQuery, query)),
  );
  app.get<ItemRoute>('/v1/conversations/:id/items/:item', async ({ params, query, projectId }) => {
    readQuery(includeQuery, query);
    return retrieveConversationItem(deps, projectId, params.id, params.item);
  });
  app.delete<ItemRoute>('/v1/conversations/:id/items/:item', async ({ params, projectId }) =>
    deleteConversationItem(deps, projectId, params.id, params.item),
  );
}
