import { z } from 'zod';
import { createResponseBody } from './create-response.ts';

/** `POST /v1/responses/input_tokens` (contract.md §1.6). */
export const countTokensBody = createResponseBody
  .pick({
    model: true,
    input: true,
    previous_response_id: true,
    conversation: true,
    instructions: true,
    tools: true,
    tool_choice: true,
    parallel_tool_calls: true,
    reasoning: true,
    text: true,
    truncation: true,
  })
  .extend({ personality: z.unknown().optional() })
  .meta({ required: ['model'] });
export type CountTokensBody = z.infer<typeof countTokensBody>;

export type InputTokens = { object: 'response.input_tokens'; input_tokens: number };
