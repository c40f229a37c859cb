import { Assembler } from '../domain/assembler.ts';
import { encodeEvents } from '../domain/chunk-codec.ts';
import { endedState } from '../domain/ended-state.ts';
import { apiError } from '../domain/errors.ts';
import { Fold } from '../domain/fold.ts';
import type { ModelBinding, NewResponse, RunSpec, Slot, StoredRequest } from '../domain/ports.ts';
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
import { MOST_POSITION, priorityOf } from './queue-place.ts';
import { KEY_RETENTION_MS, replay } from './replay.ts';
import type { Answer, IdempotencyKey } from './replay.ts';
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

/** `dropped` names what a lenient model has left out of the request. `replayed`: it was created by an earlier one. */
export type Created = Answer & { dropped: string[]; replayed: boolean };

/** Another create with the same key was first. */
class KeyTaken extends Error {}
/** Each further one needs a response that was made and deleted between two steps of this request. */
const MOST_TRIES = 3;

/** Its project has others waiting, or runs as many as it may: it has to wait, too, though there is a slot. */
class MustWait extends Error {}

/** A refusal of the upstream is an HTTP error as long as nothing was sent; then headers must go out, ms. */
const ACCEPT_MS = 5_000;

/** `raw` is the parsed JSON; `body` is what the schema made of it. */
type Asked = { raw: object; body: CreateResponseBody; idempotency: IdempotencyKey | undefined };

/** @param signal aborts when the client leaves */
export async function createResponse(
  deps: ResponsesDeps,
  caller: Caller,
  asked: Asked,
  signal: AbortSignal,
): Promise<Created> {
  const { body, idempotency } = asked;
  if (deps.runs.stopping) throw apiError('shutting_down');
  if (idempotency === undefined) return createNew(deps, caller, asked, signal);
  if (body.background !== true) throw apiError('idempotency_key_needs_background');
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    // First of all: what would refuse a new response says nothing about one that is there.
    const earlier = await replay(deps, caller.projectId, idempotency, body, signal);
    if (earlier !== undefined) return { ...earlier, replayed: true };
    try {
      return await createNew(deps, caller, asked, signal);
    } catch (error) {
      if (!(error instanceof KeyTaken)) throw error;
    }
  }
  throw apiError('store_unavailable');
}

async function createNew(
  deps: ResponsesDeps,
  caller: Caller,
  { raw, body, idempotency }: Asked,
  signal: AbortSignal,
): Promise<Created> {
  const { projectId } = caller;
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
  const limited = typeof (await deps.projects.find(projectId))?.maxRunning === 'number';
  // What answers with a response that is there already has returned before: it is not counted. From here on whatever
  // fails has to withdraw it.
  const admitted = deps.limiter.admit({ id, caller, model: binding, tokens: () => mostTokens(served, items) });
  const bounds = admitted instanceof Promise ? await admitted : admitted;
  const kept = { request, history, createdAt, zeroRetention, idempotency };
  const made = { deps, body: served, spec, ...kept, limited, caller, binding, bounds };
  try {
    const answer = await (response.background ? createInBackground(made, signal) : createInForeground(made, signal));
    return { ...answer, dropped, replayed: false };
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
  idempotency: IdempotencyKey | undefined;
  /** Its project may run so many at once; the transaction decides. */
  limited: boolean;
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
  const slot = made.deps.runs.tryReserve();
  if (slot === undefined) return begin(made, undefined, signal);
  try {
    return await begin(made, slot, signal);
  } catch (error) {
    if (!(error instanceof MustWait)) throw error;
    return begin(made, undefined, signal);
  }
}

/**
 * Whether the transaction may refuse it: its conversation may be held, its key taken, its project run as many as it may,
 * a bound be reached. Then no upstream must have heard of the request.
 */
function isDecidedByStore({ history, idempotency, limited, bounds }: Made): boolean {
  return history.conversation !== null || idempotency !== undefined || limited || bounds.length > 0;
}

async function begin(made: Made, slot: Slot | undefined, signal: AbortSignal): Promise<Answer> {
  const { deps, body, spec } = made;
  const begun = new Fold();
  const assembler = new Assembler(begun, deps.ids, deps.clock);
  assembler.begin(spec.response, slot !== undefined);
  const events = assembler.take();
  const committed = Promise.withResolvers<Committed>();
  const row = committed.promise.then(({ no }) => no);
  if (slot !== undefined && !isDecidedByStore(made)) {
    deps.runs.start(spec, slot, begun, row, 'now');
    // The upstream first: what is done before its request has left is lost to the first token (docs/decisions/0002).
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  } else if (slot !== undefined) {
    deps.runs.start(spec, slot, begun, row, 'created');
  }
  commit(made, slot !== undefined, events, begun).then(committed.resolve, committed.reject);
  const [{ no, position }] = await Promise.all([committed.promise, row]);
  if (slot === undefined) deps.runs.wake();
  if (!spec.stream) return { kind: 'response', id: spec.id, response: spec.response, position };
  return {
    kind: 'stream',
    position,
    id: spec.id,
    events: tail(deps, { no, id: spec.id, projectId: spec.projectId }, -1, signal, events),
    obfuscate: body.stream_options?.include_obfuscation ?? false,
  };
}

type Committed = { no: number; position?: number | undefined };

async function commit(made: Made, owned: boolean, events: readonly ResponseEvent[], begun: Fold): Promise<Committed> {
  const { deps, idempotency, createdAt } = made;
  const body = encodeEvents(events, begun.response);
  const chunk = { n: 0, firstSequence: 0, count: events.length, epoch: 0, closed: false, body };
  const workerId = owned ? deps.runs.workerId : null;
  const row = {
    ...rowOf(made),
    history: made.history.items,
    workerId,
    chunk,
    bounds: made.bounds,
    ...(idempotency !== undefined && { idempotency: { ...idempotency, expiresAt: createdAt + KEY_RETENTION_MS } }),
  };
  const since = deps.metrics.now();
  const result = await deps.store.create(row, deps.settings.queueMax);
  if (result.outcome === 'created') deps.metrics.createCommitted(deps.metrics.now() - since);
  switch (result.outcome) {
    case 'created':
      return { no: result.no, ...(result.position && { position: Math.min(result.position, MOST_POSITION) }) };
    case 'key_taken':
      throw new KeyTaken();
    case 'must_wait':
      throw new MustWait();
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
  const slot = await reserveSlot(deps, spec.projectId, signal);
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
  if (!spec.stream) return { kind: 'response', id: spec.id, response: await run.ended };
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
    priority: priorityOf(request.body.service_tier),
    previousResponseId: history.previousResponseId,
    conversation: history.conversation,
    keyId: made.caller.key?.id ?? null,
    modelEntry: made.binding.entry,
  };
}
