import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';

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
  pattern?: string;
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

/** Each says what is wrong by the document; undefined when nothing is. */
export type Judge = {
  answer(described: Described, status: number, contentType: string, body: unknown): string | undefined;
  /** An item may come without its type, as a message or reference; what lacks one is not judged. */
  request(described: Described, body: unknown): string | undefined;
};

export function makeJudge(document: Document): Judge {
  const ajv = new Ajv2020({ strict: false });
  ajv.addSchema(document, 'holt');
  const compiled = new Map<string, ValidateFunction>();
  const validatorAt = (place: readonly string[]): ValidateFunction => {
    const pointer = place.map((key) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/');
    const validate = compiled.get(pointer) ?? ajv.compile({ $ref: `holt#/${pointer}` });
    compiled.set(pointer, validate);
    return validate;
  };
  return {
    answer: ({ method, path, operation }, status, contentType, body) => {
      const type = contentType.split(';')[0] ?? '';
      if (operation.responses[status]?.content[type] === undefined) {
        return `${method} ${path} answers no ${status} of type ${type}`;
      }
      const place = ['paths', path, method.toLowerCase(), 'responses', String(status), 'content', type, 'schema'];
      const validate = validatorAt(place);
      return validate(body) ? undefined : `${method} ${path} ${status}: ${ajv.errorsText(validate.errors)}`;
    },
    request: ({ method, path, operation }, body) => {
      if (operation.requestBody === undefined) return undefined;
      const place = ['paths', path, method.toLowerCase(), 'requestBody', 'content', 'application/json', 'schema'];
      const validate = validatorAt(place);
      if (validate(body) || validate.errors?.some(isOfType) === true) return undefined;
      return `the body of ${method} ${path}: ${ajv.errorsText(validate.errors)}`;
    },
  };
}

function isOfType({ instancePath, params }: ErrorObject): boolean {
  return params['missingProperty'] === 'type' || instancePath.endsWith('/type');
}
