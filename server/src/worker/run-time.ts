import type { Clock, Timer } from '../domain/ports.ts';

/**
 * The time that one run may take, over all its tries (`limits.run_time`). It begins with the run: what a response has
 * waited in the queue is not in it.
 */
export class RunTime {
  /** Aborts when the time is over, or the run is aborted. */
  readonly signal: AbortSignal;
  readonly #abort = new AbortController();
  readonly #timer: Timer | undefined;

  /** @param ms null for as long as it likes */
  constructor(clock: Clock, ms: number | null, aborted: AbortSignal) {
    this.signal = ms === null ? aborted : AbortSignal.any([aborted, this.#abort.signal]);
    this.#timer = ms === null ? undefined : clock.timer(ms, () => this.#abort.abort());
  }

  get over(): boolean {
    return this.#abort.signal.aborted;
  }

  /** The model has said its last word: how long the rest takes is not its fault. */
  end(): void {
    this.#timer?.cancel();
  }

  /** Resolves with `waiting`, or when `signal` aborts. */
  wait(waiting: Promise<void>): Promise<void> {
    if (this.signal.aborted) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        this.signal.removeEventListener('abort', finish);
        resolve();
      };
      this.signal.addEventListener('abort', finish, { once: true });
      waiting.then(finish, reject);
    });
  }
}
