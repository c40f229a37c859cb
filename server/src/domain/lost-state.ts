import type { Response } from '../protocol/response.ts';
import { Fold } from './fold.ts';
import type { OwnedResponse } from './ports.ts';

/**
 * The state of an unfinished response whose key is lost: what its row says in clear, and the place of its log, so that
 * it can be ended. What it was asked is not known any more.
 */
export function lostState({ id, createdAt, model, background, tail }: OwnedResponse): Fold {
  const response: Response = {
    id,
    object: 'response',
    created_at: Math.floor(createdAt / 1000),
    status: 'in_progress',
    background,
    completed_at: null,
    error: null,
    frequency_penalty: 0,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    max_tool_calls: null,
    model,
    moderation: null,
    output: [],
    parallel_tool_calls: true,
    presence_penalty: 0,
    previous_response_id: null,
    prompt_cache_key: null,
    prompt_cache_retention: null,
    reasoning: { effort: null, summary: null },
    safety_identifier: null,
    service_tier: 'auto',
    store: false,
    temperature: 1,
    text: { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: 0,
    top_p: 1,
    truncation: 'disabled',
    usage: null,
    user: null,
    metadata: {},
  };
  const state = new Fold();
  state.apply({ type: 'response.created', sequence_number: 0, response });
  state.nextSequence = tail.nextSequence;
  return state;
}
