import type { z } from 'zod';
import * as answers from '../protocol/answers.ts';
import { compactBody } from '../protocol/compaction.ts';
import { addItemsBody, createConversationBody, updateConversationBody } from '../protocol/conversation.ts';
import { createResponseBody } from '../protocol/create-response.ts';
import { countTokensBody } from '../protocol/input-tokens.ts';
import { createHeaders } from '../protocol/headers.ts';
import { requestItem } from '../protocol/items.ts';
import { includeQuery, itemsQuery, retrieveQuery } from '../protocol/queries.ts';
import { WEBHOOK_OPERATIONS, WEBHOOK_SCHEMAS } from './webhook-api.ts';
import { tool } from '../protocol/tools.ts';

/** The API as a table: every route with the schemas that check its requests. A test holds it against the routes. */

export type Operation = {
  method: 'get' | 'post' | 'delete';
  /** With parameters in braces. */
  path: string;
  id: string;
  summary: string;
  /** Answered without a key. */
  public?: boolean;
  query?: z.ZodObject;
  /** Beyond those that every route has. */
  headers?: z.ZodObject;
  body?: z.ZodObject;
  answer: z.ZodType;
  /** The media type of the answer, when it is not JSON. */
  mediaType?: string;
  /** Of the answer, when it is not 200 alone. */
  statuses?: readonly number[];
  /** Whether it can answer with an event stream instead. */
  streams?: boolean;
  /** Of refusals and failures, beyond those that every route with a key has. */
  errors?: readonly number[];
};

/** The schemas with a name of their own in the document. */
export const NAMED: Record<string, z.ZodType> = {
  CreateResponse: createResponseBody,
  CountInputTokens: countTokensBody,
  Compact: compactBody,
  CreateConversation: createConversationBody,
  UpdateConversation: updateConversationBody,
  AddItems: addItemsBody,
  RequestItem: requestItem,
  Tool: tool,
  Response: answers.responseAnswer,
  Event: answers.eventAnswer,
  DeletedResponse: answers.deletedResponseAnswer,
  Item: answers.itemAnswer,
  Items: answers.itemsAnswer,
  Usage: answers.usageAnswer,
  InputTokens: answers.inputTokensAnswer,
  Compaction: answers.compactionAnswer,
  Conversation: answers.conversationAnswer,
  DeletedConversation: answers.deletedConversationAnswer,
  Model: answers.modelAnswer,
  Models: answers.modelsAnswer,
  Health: answers.healthAnswer,
  Document: answers.documentAnswer,
  Metrics: answers.metricsAnswer,
  Error: answers.errorAnswer,
  ...WEBHOOK_SCHEMAS,
};

/** A model was asked. */
const UPSTREAM = [429, 502] as const;

const RESPONSES: readonly Operation[] = [
  {
    method: 'post',
    path: '/v1/responses',
    id: 'createResponse',
    summary: 'Create a response, in the background or not, streamed or not',
    headers: createHeaders,
    body: createResponseBody,
    answer: answers.responseAnswer,
    streams: true,
    errors: [404, ...UPSTREAM],
  },
  {
    method: 'get',
    path: '/v1/responses/{id}',
    id: 'retrieveResponse',
    summary: 'Retrieve a response, wait for its end, or read its events',
    query: retrieveQuery,
    answer: answers.responseAnswer,
    streams: true,
    errors: [404],
  },
  {
    method: 'delete',
    path: '/v1/responses/{id}',
    id: 'deleteResponse',
    summary: 'Delete a response, stopping it if it runs',
    answer: answers.deletedResponseAnswer,
    errors: [404],
  },
  {
    method: 'post',
    path: '/v1/responses/{id}/cancel',
    id: 'cancelResponse',
    summary: 'Stop a background response; what it had produced is kept',
    answer: answers.responseAnswer,
    errors: [404],
  },
  {
    method: 'get',
    path: '/v1/responses/{id}/input_items',
    id: 'listInputItems',
    summary: 'List the input of a response, what came before it included',
    query: itemsQuery,
    answer: answers.itemsAnswer,
    errors: [404],
  },
  {
    method: 'post',
    path: '/v1/responses/input_tokens',
    id: 'countInputTokens',
    summary: 'Count the tokens of an input',
    body: countTokensBody,
    answer: answers.inputTokensAnswer,
    errors: [404],
  },
  {
    method: 'post',
    path: '/v1/responses/compact',
    id: 'compact',
    summary: 'Write a long conversation down as one sealed item',
    body: compactBody,
    answer: answers.compactionAnswer,
    errors: [404, ...UPSTREAM],
  },
];

const CONVERSATIONS: readonly Operation[] = [
  {
    method: 'post',
    path: '/v1/conversations',
    id: 'createConversation',
    summary: 'Create a conversation',
    body: createConversationBody,
    answer: answers.conversationAnswer,
    errors: [404],
  },
  {
    method: 'get',
    path: '/v1/conversations/{id}',
    id: 'retrieveConversation',
    summary: 'Retrieve a conversation',
    answer: answers.conversationAnswer,
    errors: [404],
  },
  {
    method: 'post',
    path: '/v1/conversations/{id}',
    id: 'updateConversation',
    summary: 'Replace the metadata of a conversation',
    body: updateConversationBody,
    answer: answers.conversationAnswer,
    errors: [404],
  },
  {
    method: 'delete',
    path: '/v1/conversations/{id}',
    id: 'deleteConversation',
    summary: 'Delete a conversation with its items',
    answer: answers.deletedConversationAnswer,
    errors: [404],
  },
  {
    method: 'post',
    path: '/v1/conversations/{id}/items',
    id: 'addConversationItems',
    summary: 'Add items to a conversation',
    query: includeQuery,
    body: addItemsBody,
    answer: answers.itemsAnswer,
    errors: [404],
  },
  {
    method: 'get',
    path: '/v1/conversations/{id}/items',
    id: 'listConversationItems',
    summary: 'List the items of a conversation',
    query: itemsQuery,
    answer: answers.itemsAnswer,
    errors: [404],
  },
  {
    method: 'get',
    path: '/v1/conversations/{id}/items/{item}',
    id: 'retrieveConversationItem',
    summary: 'Retrieve an item of a conversation',
    query: includeQuery,
    answer: answers.itemAnswer,
    errors: [404],
  },
  {
    method: 'delete',
    path: '/v1/conversations/{id}/items/{item}',
    id: 'deleteConversationItem',
    summary: 'Delete an item of a conversation',
    answer: answers.conversationAnswer,
    errors: [404],
  },
];

export const OPERATIONS: readonly Operation[] = [
  ...RESPONSES,
  ...CONVERSATIONS,
  ...WEBHOOK_OPERATIONS,
  {
    method: 'get',
    path: '/v1/models',
    id: 'listModels',
    summary: 'List the models',
    answer: answers.modelsAnswer,
  },
  {
    method: 'get',
    path: '/v1/models/{model}',
    id: 'retrieveModel',
    summary: 'Retrieve a model; its name may hold slashes and colons',
    answer: answers.modelAnswer,
    errors: [404],
  },
  {
    method: 'get',
    path: '/healthz',
    id: 'checkHealth',
    summary: 'Whether the process lives',
    public: true,
    answer: answers.healthAnswer,
  },
  {
    method: 'get',
    path: '/readyz',
    id: 'checkReadiness',
    summary: 'Whether the server can take work',
    public: true,
    answer: answers.healthAnswer,
    statuses: [200, 503],
  },
  {
    method: 'get',
    path: '/metrics',
    id: 'readMetrics',
    summary: 'Figures for Prometheus; without a key, or not at all, where the server is set up so',
    answer: answers.metricsAnswer,
    mediaType: 'text/plain',
    errors: [404],
  },
  {
    method: 'get',
    path: '/openapi.json',
    id: 'describe',
    summary: 'This document',
    public: true,
    answer: answers.documentAnswer,
  },
];
