import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ValidateFunction } from 'ajv/dist/2020.js';

/** Holt's own OpenAPI document, as a client reads it. */

export type JsonSchema = {
  $ref?: string;
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  additionalProperties?: JsonSchema | boolean;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  enum?: unknown[];
  const?: unknown;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
};
type Content = Record<string, { schema: JsonSchema }>;
export type Parameter = { name: string; in: 'path' | 'query'; required: boolean; schema: JsonSchema };
export type Operation = {
  operationId: string;
  security?: unknown[];
  parameters: Parameter[];
  requestBody?: { required: boolean; content: Content };
  responses: Record<string, { description: string; content: Content }>;
};
export type Document = {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, JsonSchema> };
};

export async function fetchDocument(holt: { url: string }): Promise<Document> {
  const answer = await fetch(`${holt.url}/openapi.json`);
  return (await answer.json()) as Document;
}

export type Described = { method: string; path: string; operation: Operation };

export function operationsOf({ paths }: Document): Described[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
}

/** What is wrong with an answer by the document; undefined when nothing is. */
export type Judge = (described: Described, status: number, contentType: string, body: unknown) => string | undefined;

export function makeJudge(document: Document): Judge {
  const ajv = new Ajv2020({ strict: false });
  ajv.addSchema(document, 'holt');
  const compiled = new Map<string, ValidateFunction>();
  return ({ method, path, operation }, status, contentType, body) => {
    const type = contentType.split(';')[0] ?? '';
    const content = operation.responses[status]?.content[type];
    if (content === undefined) return `${method} ${path} answers no ${status} of type ${type}`;
    const place = ['paths', path, method.toLowerCase(), 'responses', String(status), 'content', type, 'schema'];
    const pointer = place.map((key) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
    let validate = compiled.get(pointer);
    if (validate === undefined) {
      validate = ajv.compile({ $ref: `holt#/${pointer}` });
      compiled.set(pointer, validate);
    }
    return validate(body) ? undefined : `${method} ${path} ${status}: ${ajv.errorsText(validate.errors)}`;
  };
}
