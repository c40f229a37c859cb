import { Assembler } from '../domain/assembler.ts';
import { apiError } from '../domain/errors.ts';
import { Fold } from '../domain/fold.ts';
import type { Metrics } from '../domain/metrics.ts';
import type { Clock, CommitEnd, ForegroundRun, Ids, Log, Random, RunLimits, RunSpec, Slot } from '../domain/ports.ts';
import { reasoningSealer } from '../domain/seal.ts';
import type { Seal } from '../domain/seal.ts';
import { isEnded } from '../domain/status.ts';
import type { UpstreamFailure } from '../domain/upstream-event.ts';
import type { ResponseEvent } from '../protocol/events.ts';
import type { Response } from '../protocol/response.ts';
import { FOREGROUND_RETRIES, runResponse } from './run-response.ts';
import { waitMs } from '../domain/wait.ts';

/**
 * A foreground response: the same runner and assembler over a log in memory that one reader empties. Nothing is
 * stored while it runs; its end is stored before it is shown (design.md §6.8).
 */

/** What a slow reader may leave unread before the upstream is paused, characters. */
const UNREAD_LIMIT = 1 << 20;

type Deps = {
  seal: Seal;
  clock: Clock;
  ids: Ids;
  random: Random;
  log: Log;
  metrics: Metrics;
  limits: RunLimits;
};

export class Foreground implements ForegroundRun {
  readonly projectId: string;
  readonly ended: Promise<Response>;
  readonly #deps: Deps;
  readonly #abort = new AbortController();
  readonly #assembler: Assembler;
  readonly #commit: CommitEnd;
  readonly #accepted = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<Response>();
  readonly #stream: boolean;
  #mustStream = false;
  #unread: ResponseEvent[] = [];
  #unreadSize = 0;
  #finished = false;
  #firstOutputAt: number | undefined;
  #failure: unknown;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(deps: Deps, spec: RunSpec, slot: Slot, commit: CommitEnd) {
    this.projectId = spec.projectId;
    this.#deps = deps;
    this.#commit = commit;
    this.#stream = spec.stream;
    const sealReasoning = reasoningSealer(deps.seal, spec.projectId, spec.turn.request);
    this.#assembler = new Assembler(new Fold(), deps.ids, deps.clock, sealReasoning);
    this.#assembler.begin(spec.response, true);
    this.ended = this.#ended.promise;
    // Whoever does not ask for an end must not be hit by its rejection.
    this.ended.catch(() => undefined);
    this.#accepted.promise.catch(() => undefined);
    void this.#run(spec, slot);
  }

  /** @param reason what whoever still waits is told */
  abort(reason?: Error): void {
    this.#abort.abort(reason);
  }

  async accepted(ms: number): Promise<void> {
    await Promise.race([this.#accepted.promise, waitMs(this.#deps.clock, ms, this.#abort.signal)]);
    this.#mustStream = true;
  }

  async *events(): AsyncGenerator<readonly ResponseEvent[], void, undefined> {
    for (;;) {
      if (this.#unread.length > 0) {
        const events = this.#unread;
        this.#unread = [];
        this.#unreadSize = 0;
        this.#wakeWriter?.();
        yield events;
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure;
      // Not a return: without a terminal event a clean close would look like a complete stream.
      this.#abort.signal.throwIfAborted();
      if (this.#finished) return;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  async #run(spec: RunSpec, slot: Slot): Promise<void> {
    this.#abort.signal.addEventListener('abort', () => {
      this.#ended.reject(this.#abort.signal.reason);
      this.#wakeReader?.();
      this.#wakeWriter?.();
    });
    await runResponse(this.#deps, {
      id: spec.id,
      assembler: this.#assembler,
      provider: spec.provider,
      turn: spec.turn,
      signal: this.#abort.signal,
      flush: () => this.#flush(),
      accepted: () => {
        this.#accepted.resolve();
      },
      firstOutput: (at) => {
        this.#firstOutputAt = at;
      },
      refused: (failure) => this.#refuse(failure),
      retries: FOREGROUND_RETRIES,
      limits: this.#deps.limits,
    });
    slot.release();
    this.#finished = true;
    this.#wakeReader?.();
  }

  /** Before the first byte a refusal is an HTTP error; nothing is stored of it. */
  #refuse(failure: UpstreamFailure): boolean {
    if (this.#mustStream) return false;
    const error = apiError(failure.row, {
      message: failure.message,
      model: this.#assembler.response.model,
      retry: failure.retryable,
      ...(failure.param === undefined ? {} : { param: failure.param }),
      ...(failure.retryAfterMs === undefined
        ? {}
        : { retryAfter: Math.max(1, Math.ceil(failure.retryAfterMs / 1000)) }),
    });
    this.#accepted.reject(error);
    this.#ended.reject(error);
    this.#failure = error;
    this.#assembler.take();
    return true;
  }

  #flush(): Promise<void> | undefined {
    const events = this.#assembler.take();
    if (this.#assembler.ended) return this.#end(events);
    this.#show(events);
    if (this.#unreadSize <= UNREAD_LIMIT) return undefined;
    return new Promise((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  async #end(events: readonly ResponseEvent[]): Promise<void> {
    const { response } = this.#assembler;
    if (events.length === 0 || !isEnded(response.status)) return;
    try {
      await this.#commit(response, response.status);
      this.#deps.metrics.responseEnded('foreground', response.status, response.model);
      this.#show(events);
      this.#accepted.resolve();
      this.#ended.resolve(response);
    } catch (error) {
      this.#failure = error;
      this.#ended.reject(error);
      this.#accepted.reject(error);
      this.#wakeReader?.();
    }
  }

  /** A client that waits for the JSON alone reads no events. */
  #show(events: readonly ResponseEvent[]): void {
    if (!this.#stream) return;
    for (const event of events) {
      this.#unread.push(event);
      if ('delta' in event) this.#unreadSize += event.delta.length;
    }
    this.#wakeReader?.();
    if (this.#firstOutputAt === undefined) return;
    const { metrics } = this.#deps;
    metrics.firstOutputShown('foreground', metrics.now() - this.#firstOutputAt);
    this.#firstOutputAt = undefined;
  }
}
