import { Assembler } from '../domain/assembler.ts';
import { encodeEvents } from '../domain/chunk-codec.ts';
import { endedState } from '../domain/ended-state.ts';
import { apiError } from '../domain/errors.ts';
import { Fold } from '../domain/fold.ts';
import type { ModelBinding, NewResponse, RunSpec, StoredRequest } from '../domain/ports.ts';
import { describeScope, usedBy } from '../domain/limits.ts';
import type { Caller, UnfinishedBound } from '../domain/limits.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { InputItem } from '../protocol/items.ts';
import type { ResponseEvent } from '../protocol/events.ts';
import type { Response } from '../protocol/response.ts';
import { checkRequest } from './check-request.ts';
import type { ResponsesDeps } from './deps.ts';
import { expandInput } from './expand-input.ts';
import { initialResponse } from '../domain/initial-response.ts';
import { openTurn, readHistory } from './read-history.ts';
import type { History } from './read-history.ts';
import { QUEUE_RETRY_SECONDS, reserveSlot } from './reserve-slot.ts';
import { retentionOf } from './retention-of.ts';
import { serveRequest } from './serve-request.ts';
import { tail } from './tail.ts';
import { countUnstored, settleIfBroken } from './account.ts';
import { mostTokens } from './countable.ts';

/**
 * `POST /v1/responses`. A background response is acknowledged when its row and first chunk are durable; its upstream
 * request starts in the same tick, before that commit, so that it loses no time (design.md §6.1-2). A foreground one
 * lives as long as its client.
 */

type Answer =
  | { kind: 'response'; response: Response }
  | { kind: 'stream'; id: string; events: AsyncIterable<readonly ResponseEvent[]>; obfuscate: boolean };
/** `dropped` names what a lenient model has left out of the request. */
export type Created = Answer & { dropped: string[] };

/** A refusal of the upstream is an HTTP error as long as nothing was sent; then headers must go out, ms. */
const ACCEPT_MS = 5_000;

/**
 * @param raw the parsed JSON; `body` is what the schema made of it
 * @param signal aborts when the client leaves
 */
export async function createResponse(
  deps: ResponsesDeps,
  caller: Caller,
  raw: object,
  body: CreateResponseBody,
  signal: AbortSignal,
): Promise<Created> {
  const { projectId } = caller;
  if (deps.runs.stopping) throw apiError('shutting_down');
  const retention = await retentionOf(deps, projectId);
  checkRequest(raw, body, { strict: deps.settings.strict, retention }, deps.log);
  const zeroRetention = retention === 'zero_data_retention';
  const model = body.model ?? '';
  const binding = deps.models.resolve(model);
  if (binding === undefined) throw apiError('model_not_found', { model });
  const { body: served, dropped } = serveRequest(zeroRetention ? { ...body, store: false } : body, binding);
  const history = await readHistory(deps, projectId, served);
  const inputItems = await expandInput(deps, projectId, served.input ?? '', history.items);
  const turn = openTurn(deps.seal, projectId, history, inputItems);
  binding.provider.check(served, turn.input, turn.before);

  const createdAt = deps.clock.now();
  const id = deps.ids.response(createdAt);
  const response = initialResponse(id, createdAt, served, model, history);
  // Once is enough: the input may be large, and the items are all that is asked for again.
  const request: StoredRequest = {
    body: { ...served, input: undefined },
    upstreamModel: binding.upstreamModel,
    inputItems,
  };
  // Before an upstream is asked for what could not be kept.
  if ((response.background || response.store) && !deps.store.accepts()) throw apiError('store_unavailable');
  const items = [...turn.before, ...turn.input];
  const spec = specOf(projectId, response, binding, request, items);
  // What answers with a response that is there already has returned before: it is not counted.
  const admitted = deps.limiter.admit({ id, caller, model: binding, tokens: () => mostTokens(served, items) });
  const bounds = admitted instanceof Promise ? await admitted : admitted;
  const made = { deps, body: served, spec, request, history, createdAt, zeroRetention, caller, binding, bounds };
  try {
    const answer = await (response.background ? createInBackground(made, signal) : createInForeground(made, signal));
    return { ...answer, dropped };
  } catch (error) {
    deps.limiter.withdraw(id);
    throw error;
  }
}

type Made = {
  deps: ResponsesDeps;
  body: CreateResponseBody;
  spec: RunSpec;
  request: StoredRequest;
  history: History;
  createdAt: number;
  zeroRetention: boolean;
  caller: Caller;
  binding: ModelBinding;
  bounds: readonly UnfinishedBound[];
};

function specOf(
  projectId: string,
  response: Response,
  binding: ModelBinding,
  request: StoredRequest,
  items: InputItem[],
): RunSpec {
  return {
    id: response.id,
    projectId,
    response,
    stream: request.body.stream ?? false,
    provider: binding.provider,
    inputItems: request.inputItems,
    turn: {
      model: request.upstreamModel,
      instructions: request.body.instructions ?? null,
      items,
      request: request.body,
      idempotencyKey: response.id,
    },
  };
}

async function createInBackground(made: Made, signal: AbortSignal): Promise<Answer> {
  const { deps, body, spec } = made;
  const slot = deps.runs.tryReserve();
  const begun = new Fold();
  const assembler = new Assembler(begun, deps.ids, deps.clock);
  assembler.begin(spec.response, slot !== undefined);
  const events = assembler.take();
  const committed = Promise.withResolvers<number>();
  if (slot !== undefined && made.history.conversation === null && made.bounds.length === 0) {
    deps.runs.start(spec, slot, begun, committed.promise, 'now');
    // The upstream first: what is done before its request has left is lost to the first token (docs/decisions/0002).
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  } else if (slot !== undefined) {
    // A conversation may turn out to be held, a bound to be reached: then no upstream must have heard of the request.
    deps.runs.start(spec, slot, begun, committed.promise, 'created');
  }
  commit(made, slot !== undefined, events, begun).then(committed.resolve, committed.reject);
  const no = await committed.promise;
  if (slot === undefined) deps.runs.wake();
  if (!spec.stream) return { kind: 'response', response: spec.response };
  return {
    kind: 'stream',
    id: spec.id,
    events: tail(deps, { no, id: spec.id, projectId: spec.projectId }, -1, signal, events),
    obfuscate: body.stream_options?.include_obfuscation ?? false,
  };
}

async function commit(made: Made, owned: boolean, events: readonly ResponseEvent[], begun: Fold): Promise<number> {
  const { deps } = made;
  const body = encodeEvents(events, begun.response);
  const chunk = { n: 0, firstSequence: 0, count: events.length, epoch: 0, closed: false, body };
  const workerId = owned ? deps.runs.workerId : null;
  const row = { ...rowOf(made), history: made.history.items, workerId, chunk, bounds: made.bounds };
  const since = deps.metrics.now();
  const result = await deps.store.create(row, deps.settings.queueMax);
  if (result.outcome === 'created') deps.metrics.createCommitted(deps.metrics.now() - since);
  switch (result.outcome) {
    case 'created':
      return result.no;
    case 'queue_full':
      throw apiError('queue_full', { max: deps.settings.queueMax, retryAfter: QUEUE_RETRY_SECONDS });
    case 'too_many_unfinished':
      throw apiError('too_many_unfinished', {
        scope: describeScope(result.bound.scope),
        limit: result.bound.max,
        retryAfter: QUEUE_RETRY_SECONDS,
      });
    case 'conversation_locked':
      throw apiError('conversation_locked');
    case 'conversation_absent':
      throw apiError('conversation_not_found', { id: made.history.conversation?.id });
    case 'project_absent':
      throw apiError('project_deleted');
  }
}

async function createInForeground(made: Made, signal: AbortSignal): Promise<Answer> {
  const { deps, body, spec, request } = made;
  const slot = await reserveSlot(deps, signal);
  const run = deps.runs.startForeground(spec, slot, async (response, status) => {
    if (!response.store) {
      countUnstored(deps, made.caller, made.binding, response);
      return;
    }
    const end = { ...endedState(response, status, request.inputItems), doneAt: deps.clock.now() };
    await deps.store.createEnded(rowOf(made), end);
    deps.limiter.settle(response.id, usedBy(response));
  });
  settleIfBroken(deps, spec, run);
  const leave = (): void => {
    run.abort();
  };
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  if (!spec.stream) return { kind: 'response', response: await run.ended };
  await run.accepted(ACCEPT_MS);
  return {
    kind: 'stream',
    id: spec.id,
    events: run.events(),
    obfuscate: body.stream_options?.include_obfuscation ?? true,
  };
}

function rowOf(made: Made): Omit<NewResponse, 'chunk' | 'workerId' | 'history'> {
  const { deps, spec, request, history, createdAt, zeroRetention } = made;
  return {
    id: spec.id,
    projectId: spec.projectId,
    model: spec.response.model,
    provider: spec.provider.name,
    stream: spec.stream,
    request,
    createdAt,
    expiresAt: createdAt + deps.settings.responseRetentionMs,
    zeroRetention,
    previousResponseId: history.previousResponseId,
    conversation: history.conversation,
    keyId: made.caller.key?.id ?? null,
    modelEntry: made.binding.entry,
  };
}
