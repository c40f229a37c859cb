import { apiError } from '../domain/errors.ts';
import type { ItemsQuery } from '../domain/state-store.ts';
import { INCLUDABLE } from '../protocol/create-response.ts';

/** Query strings: always text, in the spellings that clients really send (contract.md §1). */

export type Query = Record<string, string | string[] | undefined>;

export function booleanOf(query: Query, name: string): boolean | undefined {
  const value = lastOf(query, name);
  if (value === undefined || value === '') return undefined;
  if (value === 'true' || value === '1') return true;
  if (value === 'false' || value === '0') return false;
  throw apiError('invalid_type', { param: name, expected: 'a boolean', got: 'something else' });
}

export function integerOf(query: Query, name: string, min: number, max = Number.MAX_SAFE_INTEGER): number | undefined {
  const value = lastOf(query, name);
  if (value === undefined || value === '') return undefined;
  const number = Number(value);
  if (!/^[+-]?\d+$/.test(value) || !Number.isSafeInteger(number)) {
    throw apiError('invalid_type', { param: name, expected: 'an integer', got: 'something else' });
  }
  if (number < min || number > max) {
    const [word, sign, bound] = number < min ? ['below_min', '>=', min] : ['above_max', '<=', max];
    throw apiError('out_of_range', {
      param: name,
      code: `integer_${word}_value`,
      reason: `integer ${number < min ? 'below minimum' : 'above maximum'} value. Expected a value ${sign} ${bound}, but got ${number} instead.`,
    });
  }
  return number;
}

export function oneOf<T extends string>(query: Query, name: string, values: readonly T[]): T | undefined {
  const value = lastOf(query, name);
  if (value === undefined || value === '') return undefined;
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) {
    throw apiError('invalid_value', { param: name, reason: `must be one of ${values.join(', ')}` });
  }
  return found;
}

export function textOf(query: Query, name: string): string | undefined {
  const value = lastOf(query, name);
  return value === '' ? undefined : value;
}

/** A whole number of seconds, brought into the range; unlike other numbers an empty one is a mistake, not absent. */
export function secondsOf(query: Query, name: string, min: number, max: number): number | undefined {
  const value = lastOf(query, name);
  if (value === undefined) return undefined;
  if (!/^\d+$/.test(value)) {
    throw apiError('invalid_type', { param: name, expected: 'a whole number of seconds', got: 'something else' });
  }
  return Math.min(max, Math.max(min, Number(value)));
}

/**
 * Checks the `include` of a GET. Nothing is left to include: what is stored is always answered whole, but for the one
 * value that can't be asked of what is stored.
 */
export function checkInclude(query: Query): void {
  const values = listOf(query, 'include').filter((value) => value !== '');
  if (values.includes('reasoning.encrypted_content')) throw apiError('encrypted_content_of_stored');
  const unknown = values.findIndex((value) => !INCLUDABLE.some((known) => known === value));
  if (unknown < 0) return;
  throw apiError('invalid_value', { param: `include[${unknown}]`, reason: `must be one of ${INCLUDABLE.join(', ')}` });
}

/** Both SDKs send `name[]=a&name[]=b`; people write `name=a`. */
function listOf(query: Query, name: string): string[] {
  return [query[name], query[`${name}[]`]].flat().filter((value) => value !== undefined);
}

function lastOf(query: Query, name: string): string | undefined {
  return [query[name]].flat().at(-1);
}

/** A page of items, newest first unless asked otherwise (contract.md §1.5, §1.8); `include` is checked. */
export function itemsQuery(query: Query): ItemsQuery {
  checkInclude(query);
  const after = textOf(query, 'after');
  const before = textOf(query, 'before');
  return {
    limit: integerOf(query, 'limit', 1, 100) ?? 20,
    order: oneOf(query, 'order', ['asc', 'desc']) ?? 'desc',
    ...(after !== undefined && { after }),
    ...(before !== undefined && { before }),
  };
}
