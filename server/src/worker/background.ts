import { Assembler } from '../domain/assembler.ts';
import type { Fold } from '../domain/fold.ts';
import { usedBy } from '../domain/limits.ts';
import type { Limiter } from '../domain/limits.ts';
import type { Metrics } from '../domain/metrics.ts';
import type { Clock, Ids, Log, Provider, Random, RunLimits, Slot, Tail, Turn } from '../domain/ports.ts';
import { reasoningSealer } from '../domain/seal.ts';
import type { Seal } from '../domain/seal.ts';
import type { Item } from '../domain/state-store.ts';
import { isEnded } from '../domain/status.ts';
import type { Webhooks } from '../domain/webhook-store.ts';
import type { Appender } from './appender.ts';
import type { Resumption } from './choose-policy.ts';
import { endOf } from './end-of.ts';
import { BACKGROUND_RETRIES, runResponse } from './run-response.ts';
import { StoredLog } from './stored-log.ts';

/** A background response that runs here: runner and assembler over a log in the store. */

export type BackgroundDeps = {
  appender: Appender;
  seal: Seal;
  clock: Clock;
  ids: Ids;
  random: Random;
  log: Log;
  metrics: Metrics;
  webhooks: Pick<Webhooks, 'ended'>;
  limiter: Pick<Limiter, 'settle'>;
  limits: RunLimits;
  /** ms that a log can be streamed after the end. */
  logRetentionMs: number;
  /** ms that a response under zero data retention is there after its end. */
  zdrRetentionMs: number;
};

export type BackgroundSpec = {
  id: string;
  projectId: string;
  /** The request's own, without what came before. */
  inputItems: readonly Item[];
  turn: Turn;
  provider: Provider;
  slot: Slot;
  /** State and place of the log so far. */
  begun: Fold;
  tail: Tail;
  /** How long it waited for its first slot, ms. */
  waitedMs: number;
  /** How a response goes on that another process began. */
  resumption?: Resumption;
};

export class Background {
  readonly log: StoredLog;
  /** Resolves when nothing of it runs here any more: it ended, was fenced or aborted. */
  readonly finished: Promise<void>;
  readonly waitedMs: number;
  readonly #deps: BackgroundDeps;
  readonly #abort = new AbortController();
  readonly #finished = Promise.withResolvers<void>();
  readonly #slot: Slot;

  constructor(deps: BackgroundDeps, spec: BackgroundSpec) {
    this.#deps = deps;
    this.#slot = spec.slot;
    this.waitedMs = spec.waitedMs;
    this.finished = this.#finished.promise;
    this.log = new StoredLog(
      spec,
      spec.begun,
      spec.begun.fork(),
      spec.tail,
      (response) => endOf(deps, response, spec.inputItems),
      {
        ended: () => {
          const { status, model } = this.log.committed.response;
          if (isEnded(status)) deps.metrics.responseEnded('background', status, model);
          deps.limiter.settle(spec.id, usedBy(this.log.committed.response));
          deps.webhooks.ended();
          this.#finish();
        },
        fenced: () => {
          deps.log.warn({ response_id: spec.id }, 'fenced: another owner has this response now');
          this.abort();
        },
      },
    );
    void this.#run(spec);
  }

  /** Stops the upstream and drops what was not handed to the store. What is under way may still be accepted. */
  abort(): void {
    this.#abort.abort();
    this.#deps.appender.drop(this.log);
    this.#finish();
  }

  /** The row is durable under this number: what waits may be appended. */
  created(no: number): void {
    this.log.no = no;
    this.#deps.appender.hurry(this.log);
  }

  async #run(spec: BackgroundSpec): Promise<void> {
    const { seal, ids, clock } = this.#deps;
    const sealReasoning = reasoningSealer(seal, spec.projectId, spec.turn.request);
    const assembler = new Assembler(spec.begun, ids, clock, sealReasoning);
    if (spec.resumption?.policy === 'restart') {
      assembler.closeInterrupted();
      this.#deps.appender.write(this.log, assembler.take());
    }
    await runResponse(this.#deps, {
      id: spec.id,
      assembler,
      provider: { name: spec.provider.name, run: (turn, signal) => runFrom(spec, turn, signal) },
      turn: spec.turn,
      signal: this.#abort.signal,
      flush: () => {
        this.#deps.appender.write(this.log, assembler.take());
        return this.#deps.appender.isFull(this.log) ? this.log.drained() : undefined;
      },
      accepted: () => {},
      firstOutput: (at) => {
        this.log.firstOutputAt = at;
      },
      refused: () => false,
      retries: BACKGROUND_RETRIES,
      limits: this.#deps.limits,
    });
  }

  #finish(): void {
    this.#slot.release();
    this.#finished.resolve();
  }
}

function runFrom(
  { provider, resumption }: BackgroundSpec,
  turn: Turn,
  signal: AbortSignal,
): ReturnType<Provider['run']> {
  if (resumption?.policy === 'reattach' && provider.reattach !== undefined) {
    return provider.reattach(turn, resumption.place, signal);
  }
  if (resumption?.policy === 'continue' && provider.continueFrom !== undefined) {
    return provider.continueFrom(turn, resumption.prefix, signal);
  }
  return provider.run(turn, signal);
}
