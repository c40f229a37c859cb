import type { CreateResponseBody, TextFormat } from '../protocol/create-response.ts';
import type { Response } from '../protocol/response.ts';
import { echoTools } from './echo-tools.ts';

/** The snapshot of `response.created`: every field of the wire, with what was asked for or its default (contract.md §2). */
export function initialResponse(
  id: string,
  createdAt: number,
  body: CreateResponseBody,
  model: string,
  history: { previousResponseId: string | null; conversation: { id: string } | null },
): Response {
  const background = body.background ?? false;
  return {
    id,
    object: 'response',
    created_at: Math.floor(createdAt / 1000),
    status: background ? 'queued' : 'in_progress',
    background,
    completed_at: null,
    ...(history.conversation !== null && { conversation: { id: history.conversation.id } }),
    error: null,
    frequency_penalty: 0,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    model,
    moderation: null,
    output: [],
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    presence_penalty: 0,
    previous_response_id: history.previousResponseId,
    prompt_cache_key: body.prompt_cache_key ?? null,
    ...echoCacheOptions(body.prompt_cache_options),
    prompt_cache_retention:
      body.prompt_cache_retention === 'in-memory' ? 'in_memory' : (body.prompt_cache_retention ?? null),
    reasoning: echoReasoning(body.reasoning),
    safety_identifier: body.safety_identifier ?? null,
    service_tier: 'auto',
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: { format: echoFormat(body.text?.format ?? { type: 'text' }), verbosity: body.text?.verbosity ?? 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: echoTools(body.tools ?? []),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? 1,
    truncation: body.truncation ?? 'disabled',
    usage: null,
    user: body.user ?? null,
    metadata: body.metadata ?? {},
  };
}

/** `generate_summary` is the old name of `summary`. */
function echoReasoning(reasoning: CreateResponseBody['reasoning']): Response['reasoning'] {
  const { effort, summary, generate_summary, context, mode } = reasoning ?? {};
  return {
    effort: effort ?? null,
    summary: summary ?? generate_summary ?? null,
    ...(typeof context === 'string' && { context }),
    ...(typeof mode === 'string' && { mode }),
  };
}

function echoCacheOptions(options: CreateResponseBody['prompt_cache_options']): Partial<Response> {
  if (options === null || options === undefined) return {};
  return { prompt_cache_options: { ttl: options.ttl ?? '30m', mode: options.mode ?? 'implicit' } };
}

function echoFormat(format: TextFormat): Response['text']['format'] {
  if (format.type !== 'json_schema') return format;
  const { description, strict, ...rest } = format;
  return {
    ...rest,
    ...(typeof description === 'string' && { description }),
    ...(strict !== undefined && { strict }),
  };
}
