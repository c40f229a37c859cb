import { Assembler } from '../domain/assembler.ts';
import type { Fold } from '../domain/fold.ts';
import type { Clock, Ids, Log, Provider, Random, RunLimits, Slot, Tail, Turn } from '../domain/ports.ts';
import { reasoningSealer } from '../domain/seal.ts';
import type { Seal } from '../domain/seal.ts';
import type { Item } from '../domain/state-store.ts';
import type { Webhooks } from '../domain/webhook-store.ts';
import type { Appender } from './appender.ts';
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
  webhooks: Pick<Webhooks, 'ended'>;
  limits: RunLimits;
  /** ms that a log can be streamed after the end. */
  logRetentionMs: number;
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
};

export class Background {
  readonly log: StoredLog;
  /** Resolves when nothing of it runs here any more: it ended, was fenced or aborted. */
  readonly finished: Promise<void>;
  readonly #deps: BackgroundDeps;
  readonly #abort = new AbortController();
  readonly #finished = Promise.withResolvers<void>();
  readonly #slot: Slot;

  constructor(deps: BackgroundDeps, spec: BackgroundSpec) {
    this.#deps = deps;
    this.#slot = spec.slot;
    this.finished = this.#finished.promise;
    this.log = new StoredLog(
      spec,
      spec.begun,
      spec.begun.fork(),
      spec.tail,
      (response) => endOf(deps, response, spec.inputItems),
      {
        ended: () => {
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
    await runResponse(this.#deps, {
      id: spec.id,
      assembler,
      provider: spec.provider,
      turn: spec.turn,
      signal: this.#abort.signal,
      flush: () => {
        this.#deps.appender.write(this.log, assembler.take());
        return this.#deps.appender.isFull(this.log) ? this.log.drained() : undefined;
      },
      accepted: () => {},
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
