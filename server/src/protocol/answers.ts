import { z } from 'zod';

/**
 * What is answered, for the OpenAPI document: the keys a client can rely on. Objects may have more. The types that the
 * code is checked against are beside the request bodies.
 */

const id = z.string();
const seconds = z.int().describe('Unix time in seconds.');
const labels = z.record(z.string(), z.string());

export const usageAnswer = z.looseObject({
  input_tokens: z.int(),
  input_tokens_details: z.looseObject({ cached_tokens: z.int(), cache_write_tokens: z.int() }),
  output_tokens: z.int(),
  output_tokens_details: z.looseObject({ reasoning_tokens: z.int() }),
  total_tokens: z.int(),
});

/** An item as lists and outputs show it; what else it has depends on its type. */
export const itemAnswer = z.looseObject({ id, type: z.string() });

export const responseAnswer = z.looseObject({
  id,
  object: z.literal('response'),
  created_at: seconds,
  status: z.enum(['queued', 'in_progress', 'completed', 'failed', 'incomplete', 'cancelled']),
  background: z.boolean(),
  completed_at: seconds.nullable(),
  conversation: z.looseObject({ id }).optional(),
  error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
  incomplete_details: z.looseObject({ reason: z.string() }).nullable(),
  instructions: z.string().nullable(),
  max_output_tokens: z.int().nullable(),
  max_tool_calls: z.int().nullable(),
  metadata: labels,
  model: z.string(),
  output: z.array(itemAnswer),
  parallel_tool_calls: z.boolean(),
  previous_response_id: z.string().nullable(),
  prompt_cache_key: z.string().nullable(),
  prompt_cache_retention: z.string().nullable(),
  reasoning: z.looseObject({ effort: z.string().nullable(), summary: z.string().nullable() }),
  safety_identifier: z.string().nullable(),
  service_tier: z.string(),
  store: z.boolean(),
  temperature: z.number(),
  text: z.looseObject({ format: z.looseObject({ type: z.string() }), verbosity: z.string() }),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]),
  tools: z.array(z.looseObject({ type: z.string() })),
  top_logprobs: z.int(),
  top_p: z.number(),
  truncation: z.enum(['auto', 'disabled']),
  usage: usageAnswer.nullable(),
  user: z.string().nullable(),
});

/** An event of a stream; what else it has depends on its type. */
export const eventAnswer = z.looseObject({
  type: z.string(),
  sequence_number: z.int().min(0).describe('0, 1, 2, … without gaps; `starting_after` takes the last one seen.'),
});

export const deletedResponseAnswer = z.looseObject({ id, object: z.literal('response'), deleted: z.literal(true) });

export const itemsAnswer = z.looseObject({
  object: z.literal('list'),
  data: z.array(itemAnswer),
  first_id: id.nullable(),
  last_id: id.nullable(),
  has_more: z.boolean(),
});

export const inputTokensAnswer = z.looseObject({
  object: z.literal('response.input_tokens'),
  input_tokens: z.int().min(0),
});

export const compactionAnswer = z.looseObject({
  id,
  object: z.literal('response.compaction'),
  created_at: seconds,
  output: z.array(itemAnswer),
  usage: usageAnswer,
});

export const conversationAnswer = z.looseObject({
  id,
  object: z.literal('conversation'),
  created_at: seconds,
  metadata: labels,
});
export const deletedConversationAnswer = z.looseObject({
  id,
  object: z.literal('conversation.deleted'),
  deleted: z.literal(true),
});

export const modelAnswer = z.looseObject({ id, object: z.literal('model'), created: z.int(), owned_by: z.string() });
export const modelsAnswer = z.looseObject({ object: z.literal('list'), data: z.array(modelAnswer) });

export const healthAnswer = z.looseObject({ status: z.string() });
/** Prometheus's text format, version 0.0.4. */
export const metricsAnswer = z.string();
/** The OpenAPI document itself. */
export const documentAnswer = z.looseObject({ openapi: z.string(), info: z.looseObject({}), paths: z.looseObject({}) });

export const errorAnswer = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable().describe('The path of the field at fault, such as `input[0].content`.'),
    code: z.string().nullable(),
  }),
});
