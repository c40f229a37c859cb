import { z } from 'zod';
import { INCLUDABLE } from './create-response.ts';

/** Query strings (contract.md §1). A query is text: `http/query.ts` makes these types of it. */

/** What is stored is always answered whole, but for the one value that can't be asked of what is stored. */
const includeStored = z.array(z.enum(INCLUDABLE).exclude(['reasoning.encrypted_content'])).optional();

/** Proxies cut connections that are silent for longer. */
const MAX_WAIT_SECONDS = 60;

/** Digits, however many: what is out of range is brought into it. */
const wait = z
  .string()
  .check((context) => {
    if (/^\d+$/.test(context.value)) return;
    context.issues.push({ code: 'invalid_type', expected: 'int', input: context.value });
  })
  .transform((text) => Math.min(MAX_WAIT_SECONDS, Math.max(1, Number(text))))
  .meta({ type: 'integer', minimum: 0, description: 'Seconds to wait for the end, brought into 1 to 60.' });

/** `GET /v1/responses/{id}` */
export const retrieveQuery = z.object({
  include: includeStored,
  starting_after: z.int().min(-1).optional(),
  include_obfuscation: z.boolean().optional(),
  stream: z.boolean().optional(),
  wait: wait.optional(),
});

/** A page of items, newest first unless asked otherwise. */
export const itemsQuery = z.object({
  include: includeStored,
  limit: z.int().min(1).max(100).default(20),
  order: z.enum(['asc', 'desc']).default('desc'),
  after: z.string().optional(),
  before: z.string().optional(),
});

/** Where items of a conversation are added, or one is read. */
export const includeQuery = z.object({ include: includeStored });

/** A page of webhook endpoints or of their deliveries, newest first. */
export const pageQuery = z.object({
  limit: z.int().min(1).max(100).default(20),
  after: z.string().optional(),
});
