import { z } from 'zod';
import { MOST_INPUT_ITEMS, requestItem } from './items.ts';
import { MOST_TOOLS, tool, toolChoice } from './tools.ts';

/**
 * The body of `POST /v1/responses` (contract.md §1.1). The schema knows shapes and ranges; whether a field can be
 * served is decided in `responses/check-request.ts`, so that a refusal can name the field and the reason;
 * so is what has to be there, of which the OpenAPI document is told beside the schema.
 */

const textFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
    schema: z.record(z.string(), z.unknown()),
    description: z.string().nullish(),
    strict: z.boolean().nullish(),
  }),
]);
export type TextFormat = z.infer<typeof textFormat>;

/** Every value of the official IncludeEnum. */
export const INCLUDABLE = [
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
  'reasoning.encrypted_content',
  'message.output_text.logprobs',
] as const;

/** More pairs than OpenAI allows would be cut off by other servers, so they are refused here as there. */
const METADATA_PAIRS = 16;
export const metadata = z
  .record(z.string().max(64), z.string().max(512))
  .check((context) => {
    const pairs = Object.keys(context.value).length;
    if (pairs <= METADATA_PAIRS) return;
    context.issues.push({
      code: 'custom',
      input: context.value,
      params: { code: 'object_above_max_properties' },
      message: `too many properties. Expected an object with at most ${METADATA_PAIRS} properties, but got an object with ${pairs} properties instead.`,
    });
  })
  .meta({ maxProperties: METADATA_PAIRS });

/** Documented for `input` as a string by the official description: 10,485,760 characters. */
const INPUT_CHARACTERS = 10_485_760;

export const createResponseBody = z
  .object({
    model: z.string().nullish(),
    input: z.union([z.string().max(INPUT_CHARACTERS), z.array(requestItem).max(MOST_INPUT_ITEMS)]).nullish(),
    instructions: z.string().nullish(),
    background: z.boolean().nullish(),
    store: z.boolean().nullish(),
    stream: z.boolean().nullish(),
    stream_options: z.object({ include_obfuscation: z.boolean().nullish() }).nullish(),
    previous_response_id: z.string().nullish(),
    conversation: z.union([z.string().min(1), z.object({ id: z.string().min(1) })]).nullish(),
    include: z.array(z.enum(INCLUDABLE)).nullish(),
    metadata: metadata.nullish(),
    max_output_tokens: z.int().min(16).nullish(),
    max_tool_calls: z.int().min(1).nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    temperature: z.number().min(0).max(2).nullish(),
    top_p: z.number().min(0).max(1).nullish(),
    top_logprobs: z.int().min(0).max(20).nullish(),
    tools: z.array(tool).max(MOST_TOOLS).nullish(),
    tool_choice: toolChoice.nullish(),
    text: z.object({ format: textFormat.nullish(), verbosity: z.enum(['low', 'medium', 'high']).nullish() }).nullish(),
    reasoning: z
      .object({
        effort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']).nullish(),
        summary: z.enum(['auto', 'concise', 'detailed']).nullish(),
        generate_summary: z.enum(['auto', 'concise', 'detailed']).nullish(),
        context: z.enum(['auto', 'current_turn', 'all_turns']).nullish(),
        mode: z.string().nullish(),
      })
      .nullish(),
    truncation: z.enum(['auto', 'disabled']).nullish(),
    service_tier: z.enum(['auto', 'default', 'flex', 'scale', 'priority', 'fast', 'ultrafast']).nullish(),
    prompt_cache_key: z.string().nullish(),
    prompt_cache_options: z
      .object({ ttl: z.enum(['30m']).nullish(), mode: z.enum(['implicit', 'explicit']).nullish() })
      .nullish(),
    prompt_cache_retention: z.enum(['in_memory', 'in-memory', '24h']).nullish(),
    safety_identifier: z.string().max(128).nullish(),
    user: z.string().nullish(),
    prompt: z.unknown().optional(),
    moderation: z.unknown().optional(),
    context_management: z.unknown().optional(),
    image: z.unknown().optional(),
    access_programs: z.unknown().optional(),
  })
  .meta({ required: ['model', 'input'] });
export type CreateResponseBody = z.infer<typeof createResponseBody>;
