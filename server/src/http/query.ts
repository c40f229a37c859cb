import { z } from 'zod';
import { apiError } from '../domain/errors.ts';
import { validate } from './parse-body.ts';

/** Query strings: always text, in the spellings that clients really send (contract.md §1). */

export type Query = Record<string, string | string[] | undefined>;

/**
 * What a schema makes of a query. Of a repeated name the last counts, an empty value is none, and a list comes as
 * `name=a&name=b` or `name[]=a&name[]=b`. A text that is not of its type is left to the schema, which refuses it; so is
 * every text whose schema transforms it.
 */
export function readQuery<T>(schema: z.ZodType<T> & { shape: z.ZodRawShape }, query: Query): T {
  const values: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(schema.shape)) {
    const value = readField(typeOf(field), name, query);
    if (value !== undefined) values[name] = value;
  }
  const { include } = values;
  if (Array.isArray(include) && include.includes('reasoning.encrypted_content')) {
    throw apiError('encrypted_content_of_stored');
  }
  return validate(schema, values);
}

function readField(type: z.core.$ZodType, name: string, query: Query): unknown {
  if (type instanceof z.ZodArray) {
    const list = [query[name], query[`${name}[]`]].flat().filter((text) => text !== undefined && text !== '');
    return list.length === 0 ? undefined : list;
  }
  const text = [query[name]].flat().at(-1);
  if (type instanceof z.ZodPipe) return text;
  if (text === undefined || text === '') return undefined;
  if (type instanceof z.ZodBoolean) return booleanOf(text);
  return type instanceof z.ZodNumber ? integerOf(text) : text;
}

function booleanOf(text: string): boolean | string {
  if (text === 'true' || text === '1') return true;
  return text === 'false' || text === '0' ? false : text;
}

function integerOf(text: string): number | string {
  const number = Number(text);
  return /^[+-]?\d+$/.test(text) && Number.isSafeInteger(number) ? number : text;
}

function typeOf(field: z.core.$ZodType): z.core.$ZodType {
  return field instanceof z.ZodOptional || field instanceof z.ZodDefault ? typeOf(field.unwrap()) : field;
}
