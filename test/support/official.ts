import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import { Ajv2020 } from 'ajv/dist/2020.js';

/**
 * What OpenAI's own OpenAPI document says about each body and each event. The document is read where it lies beside the
 * repository; without it nothing is judged, and test/pins/official.test.ts says so.
 */

const DOCUMENT = new URL('../../../shared/openapi-responses.json', import.meta.url);
export const DOCUMENT_IS_THERE = existsSync(DOCUMENT);

type Schema = { [key: string]: unknown };
type Operation = { responses: Record<string, { content?: Record<string, { schema: Schema }> }> };
type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};

const KEY = 'official';

type Judge = { ajv: Ajv2020; document: Document; eventSchemas: Map<string, string>; routes: Route[] };
type Route = { method: string; path: RegExp; literal: boolean; schema: string };

let judge: Judge | undefined;

function loadJudge(): Judge {
  const document = JSON.parse(readFileSync(DOCUMENT, 'utf8')) as Document;
  patch(document);
  const ajv = new Ajv2020({ strict: false, validateFormats: false, validateSchema: false, logger: false });
  ajv.addSchema(document, KEY);
  return { ajv, document, eventSchemas: eventsIn(document), routes: routesIn(document) };
}

// ---------------------------------------------------------------- where the wire and the document differ

/** Changes of the document, each where OpenAI's own wire, or Holt on purpose, says something else. */
function patch({ components: { schemas } }: Document): void {
  /** The properties of a schema, of all its parts. A part that is another schema is patched under its own name. */
  const propertiesOf = (name: string): Record<string, Schema> => {
    const schema = schemas[name]!;
    const parts = [schema, ...((schema['allOf'] as Schema[] | undefined) ?? [])];
    return Object.assign({}, ...parts.map((part) => part['properties'] ?? {})) as Record<string, Schema>;
  };
  const nullable = (name: string, property: string): void => {
    const schema = propertiesOf(name)[property];
    assert.ok(schema !== undefined, `${name} has no ${property}`);
    const { ...before } = schema;
    for (const key of Object.keys(schema)) delete schema[key];
    schema['anyOf'] = [before, { type: 'null' }];
  };
  const longest = (name: string, property: string, characters: number): void => {
    const [text] = (propertiesOf(name)[property]?.['anyOf'] ?? []) as Schema[];
    assert.ok(text?.['maxLength'] !== undefined, `${name}.${property} has no greatest length`);
    text['maxLength'] = characters;
  };
  // The recorded wire sends null before the end and for a cancelled response.
  nullable('Response', 'usage');
  // The recorded wire sends null when it was not given.
  nullable('ModelResponseProperties', 'user');
  // The official clients, which are newer, document 128 characters; the document has 64.
  longest('ModelResponseProperties', 'safety_identifier', 128);
  // Decided for Holt: the ids of an empty page are null, since there is no item that they could name.
  for (const list of ['ResponseItemList', 'ConversationItemList']) {
    for (const id of ['first_id', 'last_id']) nullable(list, id);
  }
  // The document shows this body as an example only.
  schemas['DeletedResponse'] = {
    type: 'object',
    properties: { id: { type: 'string' }, object: { const: 'response' }, deleted: { const: true } },
    required: ['id', 'object', 'deleted'],
  };
}

// ---------------------------------------------------------------- which schema

function pointer(name: string): string {
  return `#/components/schemas/${name}`;
}

/** Event type -> its schema: one is faster than a union of 58, and says what is wrong. */
function eventsIn({ components: { schemas } }: Document): Map<string, string> {
  const branches = schemas['ResponseStreamEvent']!['anyOf'] as { $ref: string }[];
  return new Map(
    branches.map(({ $ref }) => {
      const properties = schemas[$ref.split('/').at(-1)!]!['properties'] as { type: { enum: string[] } };
      return [properties.type.enum[0]!, $ref];
    }),
  );
}

/** What each operation answers when all is well. */
function routesIn({ paths }: Document): Route[] {
  const routes = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, operation]): Route[] => {
      const found = operation.responses?.['200']?.content?.['application/json']?.schema['$ref'];
      const deletes = method === 'delete' && path === '/responses/{response_id}';
      if (typeof found !== 'string' && !deletes) return [];
      return [
        {
          method: method.toUpperCase(),
          path: new RegExp(`^/v1${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`),
          literal: !path.includes('{'),
          schema: typeof found === 'string' ? found : pointer('DeletedResponse'),
        },
      ];
    }),
  );
  return routes.toSorted((a, b) => Number(b.literal) - Number(a.literal));
}

/** Where an answer came from; without it a body is judged by the `object` that it says it is. */
export type Origin = { method: string; url: string };

function schemaOf(body: Schema, origin: Origin | undefined): string | undefined {
  if (body['error'] !== undefined && body['object'] !== 'response') return pointer('ErrorResponse');
  if (origin === undefined) {
    if (body['object'] !== 'response') return undefined;
    return pointer(body['deleted'] === true ? 'DeletedResponse' : 'Response');
  }
  const { pathname } = new URL(origin.url);
  return judge?.routes.find(({ method, path }) => method === origin.method && path.test(pathname))?.schema;
}

// ---------------------------------------------------------------- judging

/** Fails when Holt would not be believed to be what the document describes. Bodies of other routes are not judged. */
export function judgeBody(body: unknown, origin?: Origin): void {
  if (!DOCUMENT_IS_THERE || typeof body !== 'object' || body === null) return;
  judge ??= loadJudge();
  const schema = schemaOf(body as Schema, origin);
  if (schema !== undefined) assertValid(judge.ajv, schema, body);
}

/** As `judgeBody`, of a text that may be no JSON at all. */
export function judgeText(text: string, origin?: Origin): void {
  if (!DOCUMENT_IS_THERE || !text.startsWith('{')) return;
  judgeBody(JSON.parse(text), origin);
}

export function judgeEvent(event: { type: string }): void {
  if (!DOCUMENT_IS_THERE) return;
  judge ??= loadJudge();
  const schema = judge.eventSchemas.get(event.type);
  assert.ok(schema !== undefined, `the official document has no event ${event.type}`);
  assertValid(judge.ajv, schema, event);
}

function assertValid(ajv: Ajv2020, schema: string, value: unknown): void {
  const validate = ajv.getSchema(`${KEY}${schema}`) as ValidateFunction | undefined;
  assert.ok(validate !== undefined, `the official document has no ${schema}`);
  if (validate(value)) return;
  assert.fail(`not a ${schema.split('/').at(-1)} of the official document: ${describe(validate.errors ?? [])}
${JSON.stringify(value).slice(0, 4_000)}`);
}

/** The errors that lie deepest: of a union's branches the one that was meant fails last. */
function describe(errors: ErrorObject[]): string {
  const depth = ({ instancePath }: ErrorObject): number => instancePath.split('/').length;
  const deepest = Math.max(...errors.map(depth));
  const told = errors
    .filter((error) => depth(error) === deepest)
    .map(({ instancePath, message, params }) => `${instancePath || '/'} ${message} ${JSON.stringify(params)}`);
  return [...new Set(told)].slice(0, 10).join('; ');
}

// ---------------------------------------------------------------- clients that hide what they read

/** Kept, so that a test may put the judging one in its place. */
const { fetch } = globalThis;

/** `fetch` that judges whatever comes through it, a stream as it comes. */
export const judgedFetch: typeof fetch = async (input, init) => {
  const answer = await fetch(input, init);
  if (answer.body === null) return answer;
  const { status, statusText, headers } = answer;
  const copy = { status, statusText, headers };
  if (headers.get('content-type')?.startsWith('text/event-stream')) {
    return new Response(answer.body.pipeThrough(judgingStream()), copy);
  }
  const text = await answer.text();
  judgeText(
    text,
    input instanceof Request ? input : { method: init?.method?.toUpperCase() ?? 'GET', url: String(input) },
  );
  return new Response(text, copy);
};

function judgingStream(): TransformStream<Uint8Array, Uint8Array> {
  const judge = new EventJudge();
  return new TransformStream({
    transform(bytes, controller) {
      judge.take(bytes);
      controller.enqueue(bytes);
    },
  });
}

/** Judges the events of a stream as its bytes come in. */
export class EventJudge {
  readonly #decoder = new TextDecoder();
  #line = '';

  take(bytes: Uint8Array): void {
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith('data: ')) judgeEvent(JSON.parse(line.slice(6)) as { type: string });
    }
  }
}
