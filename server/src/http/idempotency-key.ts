import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { apiError } from '../domain/errors.ts';
import { createHeaders } from '../protocol/headers.ts';
import type { IdempotencyKey } from '../responses/replay.ts';

/**
 * The `Idempotency-Key` header with what it stands for; undefined without one. Throws `invalid_value` for what is no key.
 * @param raw the parsed JSON of the body
 */
export function readIdempotencyKey({ headers }: FastifyRequest, raw: object): IdempotencyKey | undefined {
  const key = headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || !createHeaders.safeParse({ 'Idempotency-Key': key }).success) {
    throw apiError('invalid_value', { param: 'Idempotency-Key', reason: 'must be 1 to 255 visible ASCII characters' });
  }
  return { key, bodyHash: hashJson(raw) };
}

/**
 * The same for the same JSON, however it is written: order of keys, white space, escapes and the notation of numbers
 * don't count. What is there counts, also where it says what holds without it.
 */
function hashJson(value: object): string {
  return createHash('sha256').update(canonical(value)).digest('hex');
}

/** As deep as the parser lets a body be. */
function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const members = Object.entries(value).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([name, part]) => `${JSON.stringify(name)}:${canonical(part)}`).join(',')}}`;
}
