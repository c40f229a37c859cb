import type { Turn } from '../../domain/ports.ts';
import type { CreateResponseBody, TextFormat } from '../../protocol/create-response.ts';
import type { Dialect } from './dialect.ts';
import { foldMessages } from './fold-messages.ts';
import { withoutNulls } from './json.ts';
import type { JsonObject } from './json.ts';
import { mapTools } from './map-tools.ts';

/** The Chat Completions body of a turn that `checkRequest` has let through (upstream.md §1a). */
export function buildRequest(turn: Turn, dialect: Dialect): JsonObject {
  const { request } = turn;
  return withoutNulls({
    model: turn.model,
    messages: foldMessages(turn, dialect),
    stream: true,
    stream_options: { include_usage: true },
    [dialect === 'openai' ? 'max_completion_tokens' : 'max_tokens']: request.max_output_tokens,
    temperature: request.temperature,
    top_p: request.top_p,
    ...logprobs(request),
    response_format: responseFormat(request.text?.format),
    reasoning_effort: request.reasoning?.effort,
    ...mapTools(request, dialect),
    ...(dialect === 'openai' && openaiFields(request)),
  });
}

/** Only `include` makes them appear in a response, so nothing else asks for them. */
function logprobs(request: CreateResponseBody): JsonObject {
  if (request.include?.includes('message.output_text.logprobs') !== true) return {};
  return { logprobs: true, top_logprobs: request.top_logprobs };
}

function responseFormat(format: TextFormat | null | undefined): JsonObject | undefined {
  if (format === null || format === undefined || format.type === 'text') return undefined;
  if (format.type === 'json_object') return { type: 'json_object' };
  const { name, description, schema, strict } = format;
  return { type: 'json_schema', json_schema: withoutNulls({ name, description, schema, strict }) };
}

function openaiFields(request: CreateResponseBody): JsonObject {
  return {
    verbosity: request.text?.verbosity,
    service_tier: request.service_tier,
    user: request.user,
    safety_identifier: request.safety_identifier,
    prompt_cache_key: request.prompt_cache_key,
    prompt_cache_options: request.prompt_cache_options,
    prompt_cache_retention: request.prompt_cache_retention,
  };
}
