import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import * as answers from '../protocol/answers.ts';
import { NAMED, OPERATIONS } from './api.ts';
import type { Operation } from './api.ts';

/** The table of routes -> OpenAPI 3.1. The schemas are those that check the requests, so the two can't differ. */

/** What can't be read as a request. */
const EVERYWHERE = [400, 431];
/** Of every route with a key: what may not be asked, and what goes wrong here. */
const BEHIND_KEY = [401, 403, 500, 503];
const WITH_BODY = [413];

type Json = Record<string, unknown>;
type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The same for the same version, byte for byte. */
export function renderOpenApi(version: string): string {
  return JSON.stringify({
    openapi: '3.1.0',
    info: {
      title: 'Holt',
      version,
      description: 'The Responses API with background mode, in front of any model.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }],
    paths: pathsOf(OPERATIONS),
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'A key of a project, or the one the server was started with; needed once there is any.',
        },
      },
      schemas: namedSchemas(),
    },
  });
}

function pathsOf(operations: readonly Operation[]): Json {
  const paths = Map.groupBy(operations, ({ path }) => path);
  return Object.fromEntries(
    [...paths].map(([path, methods]) => [
      path,
      Object.fromEntries(methods.map((operation) => [operation.method, describe(operation)])),
    ]),
  );
}

function describe(operation: Operation): Json {
  return {
    operationId: operation.id,
    summary: operation.summary,
    ...(operation.public === true && { security: [] }),
    parameters: [...pathParameters(operation.path), ...queryParameters(operation.query)],
    ...(operation.body !== undefined && {
      requestBody: { required: isRequired(operation.body), content: jsonOf(operation.body) },
    }),
    responses: answersOf(operation),
  };
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
}

function queryParameters(query: z.ZodObject | undefined): Json[] {
  if (query === undefined) return [];
  const { properties = {} } = toJsonSchema(query);
  return Object.entries(properties).map(([name, schema]) => ({
    // As the official clients write a list; `name=a&name=b` is read, too.
    name: isList(schema) ? `${name}[]` : name,
    in: 'query',
    required: false,
    schema,
    ...(isList(schema) && { style: 'form', explode: true }),
  }));
}

function isList(schema: unknown): boolean {
  return typeof schema === 'object' && schema !== null && 'type' in schema && schema.type === 'array';
}

function isRequired(body: z.ZodType): boolean {
  return (toJsonSchema(body).required ?? []).length > 0;
}

function answersOf(operation: Operation): Json {
  const content = contentOf(operation.answer, operation.mediaType);
  const found = new Map<number, Json>();
  for (const status of operation.statuses ?? [200]) {
    found.set(status, { description: descriptionOf(status), content });
  }
  if (operation.streams === true) {
    const schema = referenceTo(answers.eventAnswer);
    found.set(200, {
      description:
        'The response as JSON, or with `stream` its events: each is an `event:` line with its type and a `data:` line with its JSON.',
      content: { ...content, 'text/event-stream': { schema } },
    });
  }
  const errors = [...EVERYWHERE, ...(operation.public === true ? [] : BEHIND_KEY), ...(operation.errors ?? [])];
  if (operation.method !== 'get') errors.push(...WITH_BODY);
  for (const status of errors) {
    found.set(status, { description: descriptionOf(status), content: jsonOf(answers.errorAnswer) });
  }
  return Object.fromEntries([...found].map(([status, answer]) => [String(status), answer]));
}

function descriptionOf(status: number): string {
  return STATUS_CODES[status] ?? String(status);
}

function jsonOf(schema: z.ZodType): Json {
  return contentOf(schema, 'application/json');
}

function contentOf(schema: z.ZodType, mediaType = 'application/json'): Json {
  return { [mediaType]: { schema: referenceTo(schema) } };
}

const PLACE = '#/components/schemas/';

function referenceTo(schema: z.ZodType): Json {
  const name = Object.keys(NAMED).find((key) => NAMED[key] === schema);
  return name === undefined ? toJsonSchema(schema) : { $ref: `${PLACE}${name}` };
}

const OPTIONS = { io: 'input', target: 'draft-2020-12', unrepresentable: 'any' } as const;

function toJsonSchema(schema: z.ZodType): JsonSchema {
  return withoutHead(z.toJSONSchema(schema, OPTIONS));
}

/** Without what only a schema that is a document of its own says. */
function withoutHead(schema: JsonSchema): JsonSchema {
  const { $schema: _schema, $id: _id, ...rest } = schema;
  return rest;
}

/** Where one of them stands in another it is a reference. */
function namedSchemas(): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(NAMED)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, { ...OPTIONS, uri: (id) => `${PLACE}${id}` });
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, withoutHead(schema)]));
}
