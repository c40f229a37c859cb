import { apiError } from '../domain/errors.ts';
import type { Caller } from '../domain/limits.ts';
import type { ModelBinding, RunSpec } from '../domain/ports.ts';
import type { Item } from '../domain/state-store.ts';
import type { Compaction, CompactBody } from '../protocol/compaction.ts';
import type { InputItem } from '../protocol/items.ts';
import type { Response, Usage } from '../protocol/response.ts';
import { countUnstored, settleIfBroken } from './account.ts';
import { mostTokens } from './countable.ts';
import type { ResponsesDeps } from './deps.ts';
import { expandInput } from './expand-input.ts';
import { initialResponse } from '../domain/initial-response.ts';
import { openTurn, readHistory } from './read-history.ts';
import { reserveSlot } from './reserve-slot.ts';

/**
 * `POST /v1/responses/compact`: the model itself writes down what a conversation holds, and a sealed item carries that
 * on in its place (contract.md §1.7). Runs like a foreground response and lives as long as its client; nothing is
 * stored.
 */

/** Some clients carry only the sealed item on, without the messages beside it: it has to stand alone. */
const INSTRUCTIONS = `You are given a conversation between a user and an assistant. Write a handover for an assistant
who will go on with it and may see nothing of it but your text. Keep what the user said and asked for, in their words
where the wording matters, and every fact, decision, name, number, identifier, file path, tool result and open task that
the rest of the conversation may need. Leave out pleasantries and what was superseded. Write plain text, no preamble.`;
const REQUEST = 'Write the handover for the conversation above now.';

export async function compactConversation(
  deps: ResponsesDeps,
  caller: Caller,
  body: CompactBody,
  signal: AbortSignal,
): Promise<Compaction> {
  const { projectId } = caller;
  const model = body.model ?? '';
  if (model === '') throw apiError('missing_required_parameter', { param: 'model' });
  const binding = deps.models.resolve(model);
  if (binding === undefined) throw apiError('model_not_found', { model });
  const history = await readHistory(deps, projectId, body);
  const inputItems = await expandInput(deps, projectId, body.input ?? [], history.items);
  if (history.items.length + inputItems.length === 0) throw apiError('missing_required_parameter', { param: 'input' });
  const turn = openTurn(deps.seal, projectId, history, inputItems);
  const request = { ...body, model, instructions: instructionsOf(body) };
  binding.provider.check(request, turn.input, turn.before);

  const createdAt = deps.clock.now();
  const id = deps.ids.response(createdAt);
  const asked: InputItem = { type: 'message', role: 'user', content: REQUEST };
  const spec: RunSpec = {
    id,
    projectId,
    response: initialResponse(id, createdAt, { ...request, store: false }, model, history),
    stream: false,
    provider: binding.provider,
    inputItems,
    turn: {
      model: binding.upstreamModel,
      instructions: request.instructions,
      items: [...turn.before, ...turn.input, asked],
      request,
      idempotencyKey: id,
    },
  };
  await deps.limiter.admit({ id, caller, model: binding, tokens: () => mostTokens(request, spec.turn.items) });
  const response = await run(deps, spec, caller, binding, signal);
  const summary = textOf(response);
  if (summary === '') throw apiError('upstream_failed', { message: 'The model wrote no summary.' });
  return {
    id,
    object: 'response.compaction',
    created_at: Math.floor(createdAt / 1000),
    output: [
      ...[...history.items, ...inputItems].filter(isFromUser),
      {
        id: deps.ids.item('cmp'),
        type: 'compaction',
        encrypted_content: deps.seal.seal('compaction', projectId, { summary }),
      },
    ],
    usage: response.usage ?? NO_USAGE,
  };
}

/** What the upstream did not count. */
const NO_USAGE: Usage = {
  input_tokens: 0,
  input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
  output_tokens: 0,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 0,
};

async function run(
  deps: ResponsesDeps,
  spec: RunSpec,
  caller: Caller,
  binding: ModelBinding,
  signal: AbortSignal,
): Promise<Response> {
  const slot = await reserveSlot(deps, spec.projectId, signal).catch((error: unknown) => {
    deps.limiter.withdraw(spec.id);
    throw error;
  });
  const foreground = deps.runs.startForeground(spec, slot, async (response) => {
    countUnstored(deps, caller, binding, response);
  });
  settleIfBroken(deps, spec, foreground);
  const leave = (): void => {
    foreground.abort();
  };
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  const response = await foreground.ended;
  if (response.status === 'completed') return response;
  throw apiError('upstream_failed', {
    message: response.error?.message ?? 'The model could not finish the summary.',
  });
}

/** The client's own say what the conversation was about. */
function instructionsOf(body: CompactBody): string {
  const own = body.instructions ?? '';
  return own === '' ? INSTRUCTIONS : `${INSTRUCTIONS}\n\nThe assistant's instructions in it were:\n\n${own}`;
}

function textOf(response: Response): string {
  return response.output
    .flatMap((item) => (item.type === 'message' ? item.content : []))
    .map((part) => (part.type === 'output_text' ? part.text : ''))
    .join('');
}

function isFromUser(item: Item): boolean {
  return item.type === 'message' && item.role === 'user';
}
