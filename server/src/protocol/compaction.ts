import type { z } from 'zod';
import { createResponseBody } from './create-response.ts';
import type { InputItemResource } from './list.ts';
import type { Usage } from './response.ts';

/** `POST /v1/responses/compact` (contract.md §1.7). */
export const compactBody = createResponseBody
  .pick({
    model: true,
    input: true,
    previous_response_id: true,
    instructions: true,
    prompt_cache_key: true,
    prompt_cache_options: true,
    prompt_cache_retention: true,
    service_tier: true,
  })
  .meta({ required: ['model'] });
export type CompactBody = z.infer<typeof compactBody>;

/** The user's messages as they were, then one item that holds all the rest. */
export type Compaction = {
  id: string;
  object: 'response.compaction';
  created_at: number;
  output: InputItemResource[];
  usage: Usage;
};
