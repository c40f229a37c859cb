import type { CreateResponseBody, TextFormat } from './create-response.ts';
import type { OutputItem } from './items.ts';
import type { CustomFormat, FunctionTool, ToolChoice } from './tools.ts';

export const RESPONSE_STATUSES = ['queued', 'in_progress', 'completed', 'failed', 'incomplete', 'cancelled'] as const;
export type ResponseStatus = (typeof RESPONSE_STATUSES)[number];

/** The codes of `response.error` that Holt uses, all of the official ResponseErrorCode. */
export type ResponseErrorCode = 'server_error' | 'rate_limit_exceeded' | 'invalid_prompt';

export type Usage = {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number; cache_write_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
};

type Reasoning = NonNullable<CreateResponseBody['reasoning']>;
type PromptCacheRetention = '24h' | 'in_memory';
/** A description that was null is left out, as the official type has it. */
type EchoedFormat =
  | Exclude<TextFormat, { type: 'json_schema' }>
  | (Omit<Extract<TextFormat, { type: 'json_schema' }>, 'description' | 'strict'> & {
      description?: string;
      strict?: boolean | null;
    });

export type EchoedFunctionTool = {
  type: 'function';
  name: string;
  description: string | null;
  parameters: NonNullable<FunctionTool['parameters']> | null;
  output_schema?: NonNullable<FunctionTool['output_schema']> | null;
  strict: boolean;
};
export type EchoedCustomTool = { type: 'custom'; name: string; description?: string; format: CustomFormat };
export type EchoedTool =
  | EchoedFunctionTool
  | EchoedCustomTool
  | { type: 'namespace'; name: string; description: string; tools: (EchoedFunctionTool | EchoedCustomTool)[] };

/** The Response object of the wire (contract.md §2). Every key is always there, null when unset. Times are seconds. */
export type Response = {
  id: string;
  object: 'response';
  created_at: number;
  status: ResponseStatus;
  background: boolean;
  completed_at: number | null;
  /** Only there when the response belongs to one (recorded wire). */
  conversation?: { id: string };
  error: { code: ResponseErrorCode; message: string } | null;
  frequency_penalty: number;
  incomplete_details: { reason: 'max_output_tokens' | 'content_filter' } | null;
  instructions: string | null;
  max_output_tokens: number | null;
  max_tool_calls: number | null;
  model: string;
  moderation: null;
  output: OutputItem[];
  parallel_tool_calls: boolean;
  presence_penalty: number;
  previous_response_id: string | null;
  prompt_cache_key: string | null;
  /** Only if they were asked for. */
  prompt_cache_options?: { ttl: '30m'; mode: 'implicit' | 'explicit' };
  prompt_cache_retention: PromptCacheRetention | null;
  /** `context` and `mode` only if they were asked for. */
  reasoning: {
    effort: NonNullable<Reasoning['effort']> | null;
    summary: NonNullable<Reasoning['summary']> | null;
    context?: NonNullable<Reasoning['context']>;
    mode?: string;
  };
  safety_identifier: string | null;
  service_tier: string;
  store: boolean;
  temperature: number;
  text: { format: EchoedFormat; verbosity: 'low' | 'medium' | 'high' };
  tool_choice: ToolChoice;
  tools: EchoedTool[];
  top_logprobs: number;
  top_p: number;
  truncation: 'auto' | 'disabled';
  usage: Usage | null;
  user: string | null;
  metadata: Record<string, string>;
};
