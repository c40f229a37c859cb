import type { Described, Document, JsonSchema, Parameter } from '../openapi.ts';
import { operationsOf } from '../openapi.ts';
import { Random } from '../random.ts';
import { KEYS, MODELS, toJson, Values } from './values.ts';
import type { Pool } from './pool.ts';

/** Requests for every route of a document: right ones, nearly right ones, and nonsense. */

export type FuzzRequest = {
  method: string;
  target: string;
  headers: Record<string, string>;
  body: Buffer | undefined;
  /** What it asks for, as long as method and path are those of the route. */
  described: Described | undefined;
  /** Nothing was broken on purpose. */
  intact: boolean;
  /** Leaves after the first bytes of the answer. */
  leaves: boolean;
};

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'PROPFIND', 'TRACE'] as const;
const CONTENT_TYPES = [
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/json; charset=utf-16',
  'application/octet-stream',
  'x',
  '',
  ';',
] as const;
const PATH_PARTS = [
  '',
  '..',
  '%2e%2e',
  '%00',
  '%zz',
  '%ff',
  '%2F',
  'a%20b',
  '__proto__',
  'x'.repeat(500),
  'x'.repeat(17_000),
] as const;
/** Where webhooks go; few of them are made, since each gets an event for every end. */
const HOOK_CHANCE = 0.3;
const UNKNOWN_IDS = ['resp_nothing', 'conv_nothing', 'msg_nothing', `resp_${'0'.repeat(48)}`] as const;
/** Created more often than anything else, or there would be nothing to ask for. */
const CREATES = 0.3;

/** Makes the requests of a seed. Which ids they name depends on the pool, everything else on the seed. */
export class Requests {
  readonly #document: Document;
  readonly #operations: Described[];
  readonly #create: Described;
  readonly #seed: number;
  readonly #pool: Pool;
  readonly #hook: string;

  /** @param hook a URL that webhooks may go to */
  constructor(document: Document, seed: number, pool: Pool, hook: string) {
    this.#hook = hook;
    this.#document = document;
    this.#operations = operationsOf(document);
    const create = this.#operations.find(({ operation }) => operation.operationId === 'createResponse');
    if (create === undefined) throw new Error('the document has no createResponse');
    this.#create = create;
    this.#seed = seed;
    this.#pool = pool;
  }

  /** The `n`th: the same again, whatever was made before. */
  make(n: number): FuzzRequest {
    const random = new Random(this.#seed + n * 0x9e3779b1);
    const values = new Values(random, this.#document, this.#pool);
    const described = random.chance(CREATES) ? this.#create : random.pick(this.#operations);
    const intact = random.chance(0.6);
    const breaks = (probability: number): boolean => !intact && random.chance(probability);
    const method = breaks(0.15) ? random.pick(METHODS) : described.method;
    const path = this.#path(described, random, breaks(0.3));
    const further = breaks(0.05) ? `/${random.pick(PATH_PARTS)}` : '';
    const query = this.#query(described.operation.parameters, random, values, breaks(0.5));
    const headers = headersFor(random, breaks(0.1));
    const body = this.#body(described, random, values, breaks(0.8));
    const sends = body !== undefined && method !== 'HEAD' && method !== 'TRACE' && (method !== 'GET' || !intact);
    if (!sends) delete headers['content-type'];
    return {
      method,
      target: `${path}${further}${query}`,
      headers: { ...headers, ...(sends && { 'content-length': String(body.length) }) },
      body: sends ? body : undefined,
      described: method === described.method && further === '' ? described : undefined,
      intact,
      leaves: random.chance(0.03),
    };
  }

  #path({ path }: Described, random: Random, broken: boolean): string {
    const [conversation, itemId] = random.pick([
      ...this.#pool.conversationItems,
      ['conv_nothing', 'msg_nothing'] as const,
    ]);
    const [endpoint, deliveryId] = random.pick([...this.#pool.deliveries, ['whe_nothing', 'evt_nothing'] as const]);
    const pairs = path
      .replace('{id}/items/{item}', `${conversation}/items/${escaped(itemId)}`)
      .replace('{id}/deliveries/{delivery}', `${endpoint}/deliveries/${deliveryId}`);
    return (broken ? path : pairs).replaceAll(/\{(\w+)\}/g, (_, name: string) => {
      if (broken) return random.pick([...PATH_PARTS, ...UNKNOWN_IDS, ...this.#pool.items.slice(0, 3).map(escaped)]);
      return escaped(this.#idFor(path, name, random));
    });
  }

  #idFor(path: string, name: string, random: Random): string {
    if (name === 'model') return random.pick(MODELS);
    const ids = this.#idsAt(path);
    return ids.length === 0 || random.chance(0.03) ? random.pick(UNKNOWN_IDS) : random.pick(ids);
  }

  #idsAt(path: string): readonly string[] {
    if (path.includes('conversations')) return this.#pool.conversations;
    return path.includes('webhook_endpoints') ? this.#pool.endpoints : this.#pool.responses;
  }

  #query(parameters: readonly Parameter[], random: Random, values: Values, broken: boolean): string {
    const pairs: string[] = [];
    const add = (name: string, value: unknown): void => {
      pairs.push(`${encodeURIComponent(name)}=${encodeURIComponent(textOf(value))}`);
    };
    for (const { name, schema } of parameters.filter((parameter) => parameter.in === 'query')) {
      // Nobody waits here, but for what is over at once.
      if (!random.chance(name === 'wait' ? 0.05 : 0.25)) continue;
      for (const value of [values.valid(schema, name)].flat()) add(name, value);
      if (broken) add(name.replace('[]', ''), random.chance(0.5) ? values.hostile() : values.valid(schema, name));
    }
    if (broken && random.chance(0.3)) add(random.pick(KEYS), values.hostile());
    if (broken && random.chance(0.1)) pairs.push(random.pick(['%zz=%zz', '&&=', 'stream[]=true', 'limit[a]=1', '?']));
    return pairs.length === 0 ? '' : `?${pairs.join('&')}`;
  }

  #body({ operation }: Described, random: Random, values: Values, broken: boolean): Buffer | undefined {
    const schema: JsonSchema | undefined = operation.requestBody?.content['application/json']?.schema;
    if (schema === undefined) return broken && random.chance(0.3) ? Buffer.from(toJson(values.hostile())) : undefined;
    const whole = plausible(values.valid(schema), operation.operationId, random, this.#hook);
    if (!broken) return Buffer.from(toJson(whole));
    let value: unknown = whole;
    for (let breaks = 1 + random.below(2); breaks > 0; breaks -= 1) value = values.broken(value);
    return random.chance(0.2) ? torn(toJson(value), random) : Buffer.from(toJson(value));
  }
}

/** A client's headers. */
function headersFor(random: Random, broken: boolean): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': 'application/json', authorization: 'Bearer test' };
  if (!broken) return headers;
  switch (random.below(4)) {
    case 0:
      delete headers['content-type'];
      break;
    case 1:
      headers['x-client-request-id'] = 'ü'.repeat(600);
      break;
    case 2:
      headers['accept-encoding'] = random.pick(['br;q=x', 'gzip;q=9', '*', ',;=']);
      break;
    default:
      headers['content-type'] = random.pick(CONTENT_TYPES);
  }
  return headers;
}

/** Takes out of a body what a schema can't know: fields that exclude each other, choices of tools that are not there. */
function plausible(value: unknown, operationId: string, random: Random, hook: string): unknown {
  if (typeof value !== 'object' || value === null || random.chance(0.1)) return value;
  const body: Record<string, unknown> = { ...value };
  if (body['stream'] !== true) delete body['stream_options'];
  if (body['background'] === true || typeof body['conversation'] === 'string') delete body['store'];
  if ('conversation' in body) delete body['previous_response_id'];
  delete body['tool_choice'];
  if (body['model'] === null) body['model'] = 'any';
  if ('model' in body) body['input'] ??= 'Hello';
  if ('url' in body && random.chance(HOOK_CHANCE)) body['url'] = hook;
  // Only what runs in the background can be cancelled and resumed.
  if (operationId === 'createResponse' && body['store'] !== false && random.chance(0.4)) body['background'] = true;
  if (operationId === 'createResponse' && random.chance(0.3)) body['stream'] = true;
  return body;
}

/** Text that is hardly JSON any more. */
function torn(text: string, random: Random): Buffer {
  const bytes = Buffer.from(text);
  const place = random.below(bytes.length + 1);
  switch (random.below(7)) {
    case 0:
      return bytes.subarray(0, place);
    case 1:
      return Buffer.concat([bytes.subarray(0, place), Buffer.from([0xff, 0xfe, 0x00]), bytes.subarray(place)]);
    case 2:
      return Buffer.from(`\ufeff${text}`);
    case 3:
      return Buffer.from(text.replace('{', '{"model":1,"model":"any","input":"a","input":"b",'));
    case 4:
      return Buffer.from(`${text},`);
    case 5:
      return Buffer.from(random.pick(['', ' ', 'null', '[]', '"text"', 'NaN', '{', '\u0000', '{"a":1}{"a":2}']));
    default:
      return Buffer.from('['.repeat(100_000));
  }
}

function escaped(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

function textOf(value: unknown): string {
  return (typeof value === 'string' ? value : toJson(value)).toWellFormed().slice(0, 2_000);
}
