import { Assembler } from '../domain/assembler.ts';
import { encodeEvents } from '../domain/chunk-codec.ts';
import { StoreClosed, StoreUnavailable } from '../domain/ports.ts';
import { usedBy } from '../domain/limits.ts';
import type { Limiter } from '../domain/limits.ts';
import type { Metrics } from '../domain/metrics.ts';
import type { Clock, Hints, Ids, Log, OwnedResponse, Store } from '../domain/ports.ts';
import { lostState } from '../domain/lost-state.ts';
import { foldLog } from '../domain/read-log.ts';
import { isEnded } from '../domain/status.ts';
import type { Webhooks } from '../domain/webhook-store.ts';
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
      if (!(error instanceof StoreUnavailable) || error instanceof StoreClosed || deps.signal.aborted) throw error;
      deps.log.error({ err: error, response_id: owned.id }, 'the end of a response can not be stored; trying again');
      await waitMs(deps.clock, RETRY_MS, deps.signal);
    }
  }
}

async function closeOnce(
  deps: Deps,
  owned: OwnedResponse,
  end: (assembler: Assembler) => void,
  told: boolean,
): Promise<void> {
  const keyLost = owned.keyLost === true;
  const folded = keyLost ? lostState(owned) : await foldLog(deps.store, owned.no);
  if (folded.ended) return;
  const firstSequence = folded.nextSequence;
  const assembler = new Assembler(folded, deps.ids, deps.clock);
  end(assembler);
  const events = assembler.take();
  const [accepted] = await deps.store.append([
    {
      no: owned.no,
      chunk: {
        n: owned.tail.n + 1,
        firstSequence,
        count: events.length,
        epoch: owned.tail.epoch,
        closed: true,
        body: encodeEvents(events, folded.response),
      },
      // A log that can't be read is none that can be streamed.
      end: endOf(keyLost ? { ...deps, logRetentionMs: 0 } : deps, folded.response, owned.request.inputItems, told),
    },
  ]);
  if (accepted !== true) return;
  const { status, model } = folded.response;
  if (isEnded(status)) deps.metrics.responseEnded('background', status, model);
  deps.limiter.settle(owned.id, usedBy(folded.response));
  deps.hints.announce(owned.id, { events, firstSequence });
  deps.webhooks.ended();
}
