import { ApiError, apiError } from '../domain/errors.ts';
import type { ErrorName } from '../domain/errors.ts';
import type { Caller } from '../domain/limits.ts';
import type { ModelBinding } from '../domain/ports.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { InputItem } from '../protocol/items.ts';
import type { CountTokensBody, InputTokens } from '../protocol/input-tokens.ts';
import { countable } from './countable.ts';
import type { ResponsesDeps } from './deps.ts';
import { expandInput } from './expand-input.ts';
import { openTurn, readHistory } from './read-history.ts';
import { serveRequest } from './serve-request.ts';

/** `POST /v1/responses/input_tokens`: what a request with this body would count (contract.md §1.6). */

type Deps = Pick<ResponsesDeps, 'store' | 'ids' | 'clock' | 'seal' | 'models' | 'tokenizer' | 'limiter'>;

export async function countInputTokens(
  deps: Deps,
  caller: Caller,
  body: CountTokensBody,
  signal: AbortSignal,
): Promise<{ inputTokens: InputTokens; dropped: string[] }> {
  if ((body.personality ?? null) !== null) {
    throw apiError('unsupported_parameter', { param: 'personality', reason: 'is not served: models here have none' });
  }
  const { projectId } = caller;
  const model = body.model ?? '';
  if (model === '') throw apiError('missing_required_parameter', { param: 'model' });
  const binding = deps.models.resolve(model);
  if (binding === undefined) throw apiError('model_not_found', { model });
  const { body: served, dropped } = serveRequest(body, binding);
  const history = await readHistory(deps, projectId, body, { mayBeHeld: true });
  const inputItems = await expandInput(deps, projectId, body.input ?? [], history.items);
  const { before, input } = openTurn(deps.seal, projectId, history, inputItems);
  check(binding, served, input, before);
  // It asks no model: a request, and no tokens.
  await deps.limiter.admit({ id: '', caller, model: binding, tokens: undefined });
  const { texts, tokens } = countable(served, [...before, ...input]);
  let total = tokens;
  for (const text of texts) total += await deps.tokenizer.count(text, binding.upstreamModel, signal);
  return { inputTokens: { object: 'response.input_tokens', input_tokens: total }, dropped };
}

/** In the middle of a turn, which no model could answer yet, a history can be counted all the same. */
const UNPAIRED: ReadonlySet<ErrorName> = new Set([
  'tool_call_missing',
  'tool_output_missing',
  'custom_tool_call_missing',
  'custom_tool_output_missing',
]);

function check(
  { provider }: ModelBinding,
  body: CreateResponseBody,
  input: readonly InputItem[],
  before: readonly InputItem[],
): void {
  try {
    provider.check(body, input, before);
  } catch (error) {
    if (!(error instanceof ApiError) || !UNPAIRED.has(error.row)) throw error;
  }
}
