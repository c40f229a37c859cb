import type { Document, JsonSchema } from '../openapi.ts';
import type { Pool } from './pool.ts';
import type { Random } from '../random.ts';

/** Values that a schema allows, and values that nobody expects. */

/** A number that JSON can write and no double can hold; `toJson` puts the digits in its place. */
const HUGE = '@huge@';

/** The upstream lists the first two; all of them answer. */
export const MODELS = ['any', 'other/model:8b', 'модель'] as const;
const NAMES = ['look', 'write_file', 'a-b', 'x'.repeat(64)] as const;
const TEXTS = [
  'Hello',
  '',
  'Grüße 🦦',
  '日本語',
  'a\nb',
  '\u0000',
  '\ud800',
  '\u202Eabc',
  '{"a":1}',
  'x'.repeat(600),
] as const;
/** Own names that mean something to JavaScript. */
export const KEYS = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '',
  'unknown',
  'n',
  'ключ',
  '\u0000',
  'k'.repeat(3_000),
] as const;

const SCALARS = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  -0,
  16,
  101,
  2 ** 53,
  -(2 ** 63),
  Number.MAX_VALUE,
  5e-324,
  HUGE,
  'true',
  '1',
  'x'.repeat(70_000),
  ...TEXTS,
  ...KEYS,
] as const;

export class Values {
  readonly #random: Random;
  readonly #document: Document;
  readonly #pool: Pool;

  constructor(random: Random, document: Document, pool: Pool) {
    this.#random = random;
    this.#document = document;
    this.#pool = pool;
  }

  /** A value that the schema allows; `key` is the property it is for, which tells ids from other texts. */
  valid(schema: JsonSchema, key = '', depth = 0): unknown {
    const random = this.#random;
    if (schema.$ref !== undefined) return this.valid(this.#resolve(schema.$ref), key, depth);
    if (schema.const !== undefined) return schema.const;
    if (schema.enum !== undefined) return random.pick(schema.enum);
    const variants = schema.oneOf ?? schema.anyOf;
    // The first is the one that most requests use.
    if (variants !== undefined) {
      return this.valid(random.chance(0.6) ? variants[0]! : random.pick(variants), key, depth);
    }
    const type = Array.isArray(schema.type) ? random.pick(schema.type) : schema.type;
    switch (type) {
      case 'null':
        return null;
      case 'boolean':
        return random.chance(0.5);
      case 'integer':
      case 'number':
        return this.#number(schema, type === 'integer');
      case 'string':
        return this.#text(schema, key);
      case 'array':
        return this.#list(schema, key, depth);
      case 'object':
        return this.#object(schema, depth);
      default:
        return random.pick([null, 'text', 1, {}]);
    }
  }

  /** Nothing in particular, and never of much use. */
  hostile(): unknown {
    const random = this.#random;
    switch (random.below(6)) {
      case 0:
        return nest(random.pick([5, 50, 190, 250, 2_000]), random.chance(0.5));
      case 1:
        return Array.from({ length: random.pick([0, 1, 25, 200]) }, () => random.pick(SCALARS));
      case 2:
        return this.#withKey(
          random.chance(0.5) ? {} : { toString: 1, valueOf: 1, toJSON: 1 },
          random.pick(KEYS),
          random.pick(SCALARS),
        );
      default:
        return random.pick(SCALARS);
    }
  }

  /** The value with something wrong at one place of it. */
  broken(value: unknown): unknown {
    const random = this.#random;
    if (typeof value !== 'object' || value === null || random.chance(0.15)) return this.hostile();
    const keys = Object.keys(value);
    const key = keys.length === 0 ? '' : random.pick(keys);
    if (Array.isArray(value)) {
      if (keys.length === 0 || random.chance(0.3)) return [...(value as unknown[]), this.hostile()];
      return value.with(Number(key), this.broken(value[Number(key)]));
    }
    const copy: Record<string, unknown> = { ...value };
    if (keys.length === 0 || random.chance(0.2)) return this.#withKey(copy, random.pick(KEYS), this.hostile());
    if (random.chance(0.2)) delete copy[key];
    else copy[key] = random.chance(0.4) ? this.hostile() : this.broken(copy[key]);
    return copy;
  }

  #resolve(reference: string): JsonSchema {
    const found = this.#document.components.schemas[reference.replace('#/components/schemas/', '')];
    if (found === undefined) throw new Error(`${reference} leads nowhere`);
    return found;
  }

  #number({ minimum = -1_000, maximum = Number.MAX_SAFE_INTEGER }: JsonSchema, whole: boolean): number {
    const random = this.#random;
    const top = Math.min(maximum, minimum + 1_000);
    const number = random.pick([minimum, top, maximum, minimum + random.below(top - minimum + 1)]);
    return whole ? number : Math.min(maximum, number + random.pick([0, 0.5]));
  }

  #text(schema: JsonSchema, key: string): string {
    const random = this.#random;
    const ids = this.#idsFor(key);
    if (ids !== undefined && ids.length > 0 && random.chance(0.95)) return random.pick(ids);
    if (key === 'model') return random.pick(MODELS);
    if ('pattern' in schema || key === 'name' || key === 'call_id') return random.pick(NAMES);
    const { minLength = 0, maxLength = Infinity } = schema;
    if (Number.isFinite(maxLength) && maxLength < 10_000 && random.chance(0.1)) return 'y'.repeat(maxLength);
    return random.pick(TEXTS).padEnd(minLength, 'z').slice(0, maxLength);
  }

  #idsFor(key: string): string[] | undefined {
    if (key === 'previous_response_id') return this.#pool.responses;
    if (key === 'conversation') return this.#pool.conversations;
    return key === 'id' || key === 'after' || key === 'before' ? this.#pool.items : undefined;
  }

  #list({ items = {}, minItems = 0, maxItems = 3 }: JsonSchema, key: string, depth: number): unknown[] {
    const most = depth > 6 ? minItems : Math.min(maxItems, minItems + 3);
    const length = minItems + this.#random.below(most - minItems + 1);
    return Array.from({ length }, () => this.valid(items, key, depth + 1));
  }

  #object(schema: JsonSchema, depth: number): Record<string, unknown> {
    const random = this.#random;
    const made: Record<string, unknown> = {};
    for (const [key, property] of Object.entries(schema.properties ?? {})) {
      const wanted = schema.required?.includes(key) === true || random.chance(depth > 6 ? 0 : 0.15);
      // What may be anything is served by no version so far.
      if (wanted && Object.keys(property).length > 0) made[key] = this.valid(property, key, depth + 1);
    }
    if (typeof schema.additionalProperties === 'object') {
      const pairs = random.pick([0, 1, 3, Math.min(16, schema.maxProperties ?? 16)]);
      for (let pair = 0; pair < pairs; pair += 1) {
        made[`key${pair}`] = this.valid(schema.additionalProperties, '', depth + 1);
      }
    }
    return made;
  }

  /** Also `__proto__` becomes a key of its own, as JSON has it. */
  #withKey(object: Record<string, unknown>, key: string, value: unknown): Record<string, unknown> {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
    return object;
  }
}

/** JSON of a value, numbers that no double holds included. */
export function toJson(value: unknown): string {
  return JSON.stringify(value)?.replaceAll(`"${HUGE}"`, '1e999') ?? 'null';
}

function nest(depth: number, lists: boolean): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level += 1) value = lists ? [value] : { a: value };
  return value;
}
