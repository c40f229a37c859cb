import { Assembler } from '../domain/assembler.ts';
import { encodeEvents } from '../domain/chunk-codec.ts';
import { StoreClosed, StoreDamaged, StoreUnavailable } from '../domain/ports.ts';
import { usedBy } from '../domain/limits.ts';
import type { Limiter } from '../domain/limits.ts';
import type { Metrics } from '../domain/metrics.ts';
import type { Clock, Hints, Ids, Log, OwnedResponse, Store } from '../domain/ports.ts';
import { BrokenLog } from '../domain/fold.ts';
import type { Fold } from '../domain/fold.ts';
import { lostState, readableState } from '../domain/lost-state.ts';
import { isEnded } from '../domain/status.ts';
import type { Webhooks } from '../domain/webhook-store.ts';
import type { ResponseEvent } from '../protocol/events.ts';
import type { Response } from '../protocol/response.ts';
import { endOf } from './end-of.ts';
import { waitMs } from '../domain/wait.ts';

/**
 * Ends a response whose run is over without an end: the second half of a cancel, and policy 3 of a recovery. Its log
 * stands still, since whoever calls has just fenced it: fold, close what is open, append the end with the row.
 */

type Deps = {
  store: Store;
  hints: Hints;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  webhooks: Pick<Webhooks, 'ended'>;
  limiter: Pick<Limiter, 'settle'>;
  logRetentionMs: number;
  zdrRetentionMs: number;
  signal: AbortSignal;
};

const RETRY_MS = 200;

/**
 * Tries until it commits, is fenced by a newer owner, or the process stops.
 * @param told whether webhooks tell of this end
 */
export async function closeLog(
  deps: Deps,
  owned: OwnedResponse,
  end: (assembler: Assembler) => void,
  told: boolean,
): Promise<void> {
  for (;;) {
    try {
      await closeOnce(deps, owned, end, told);
      return;
    } catch (error) {
      if (!isTransient(error) || deps.signal.aborted) throw error;
      deps.log.error({ err: error, response_id: owned.id }, 'the end of a response can not be stored; trying again');
      await waitMs(deps.clock, RETRY_MS, deps.signal);
    }
  }
}

function isTransient(error: unknown): boolean {
  return error instanceof StoreUnavailable && !(error instanceof StoreClosed || error instanceof StoreDamaged);
}

async function closeOnce(
  deps: Deps,
  owned: OwnedResponse,
  end: (assembler: Assembler) => void,
  told: boolean,
): Promise<void> {
  const firstSequence = owned.tail.nextSequence;
  const found = await stateOf(deps, owned);
  if (found === undefined) return;
  const { state, damage } = found;
  const { events, response, body } = closing(deps, owned, damage === undefined ? 'whole' : 'damaged', state, end);
  const { n, epoch } = owned.tail;
  const [accepted] = await deps.store.append([
    {
      no: owned.no,
      chunk: { n: n + 1, firstSequence, count: events.length, epoch, closed: true, body },
      // A log that can't be read is none that can be streamed.
      end: endOf(damage ? { ...deps, logRetentionMs: 0 } : deps, response, owned.request.inputItems, told),
    },
  ]);
  if (accepted !== true) return;
  const { status, model } = response;
  if (isEnded(status)) deps.metrics.responseEnded('background', status, model);
  deps.limiter.settle(owned.id, usedBy(response));
  deps.hints.announce(owned.id, { events, firstSequence });
  deps.webhooks.ended();
}

type Closing = { events: ResponseEvent[]; response: Response; body: Uint8Array };

/** The events of the end. What damage has made of a state may defy even that; then it is built on the row alone. */
function closing(
  deps: Deps,
  owned: OwnedResponse,
  log: 'whole' | 'damaged',
  state: Fold,
  end: (assembler: Assembler) => void,
): Closing {
  try {
    const assembler = new Assembler(state, deps.ids, deps.clock);
    end(assembler);
    const events = assembler.take();
    return { events, response: state.response, body: encodeEvents(events, state.response) };
  } catch (error) {
    if (log === 'whole') throw error;
    return closing(deps, owned, 'whole', lostState(owned, owned.tail.nextSequence), end);
  }
}

/**
 * What the end is built on: at the place of the tail, however little of the log can be read. Undefined when there is
 * nothing to end: it has ended, or was deleted, and so emptied, while it was read.
 */
async function stateOf(
  deps: Deps,
  owned: OwnedResponse,
): Promise<{ state: Fold; damage: BrokenLog | undefined } | undefined> {
  const { nextSequence } = owned.tail;
  if (owned.lost === 'key')
    return { state: lostState(owned, nextSequence), damage: new BrokenLog('its key is lost, and with it its log') };
  const { state, damage } = await readableState(deps.store, owned);
  if (damage === undefined && !state.ended && state.nextSequence >= nextSequence) return { state, damage };
  const row = await deps.store.find(owned.projectId, owned.id, deps.clock.now());
  if (row === undefined || isEnded(row.status)) return undefined;
  if (damage === undefined && state.ended) {
    return { state: lostState(owned, nextSequence), damage: new BrokenLog('it has an end that its row has not') };
  }
  deps.log.error({ err: damage, response_id: owned.id }, 'the log of this response is damaged; it is ended');
  state.nextSequence = nextSequence;
  return { state, damage: damage ?? new BrokenLog('the end of it is gone') };
}
