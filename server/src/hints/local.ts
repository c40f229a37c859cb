import type { Clock, Hint, Hints, Subscription } from '../domain/ports.ts';

/** Hints inside one process: a set of latches for each response that somebody reads or waits for. */

export class LocalHints implements Hints {
  readonly #readers: Latches = new Map();
  /** They want to know the end: no text has to hurry for them. */
  readonly #waiters: Latches = new Map();
  readonly #clock: Clock;
  #onWatched: (id: string) => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `run` is called when a response gets its first reader: what lingers for it is due at once. */
  onWatched(run: (id: string) => void): void {
    this.#onWatched = run;
  }

  subscribe(id: string, recheckMs: number, signal: AbortSignal, interest: 'events' | 'end' = 'events'): Subscription {
    const all = interest === 'events' ? this.#readers : this.#waiters;
    const latches = all.get(id) ?? new Set();
    all.set(id, latches);
    const latch = new Latch(this.#clock, recheckMs, signal, () => {
      latches.delete(latch);
      if (latches.size === 0 && all.get(id) === latches) all.delete(id);
    });
    latches.add(latch);
    if (all === this.#readers && latches.size === 1) this.#onWatched(id);
    return latch;
  }

  announce(id: string, hint: Hint): void {
    for (const all of [this.#readers, this.#waiters]) {
      for (const latch of all.get(id) ?? NOBODY) latch.wake(hint);
    }
  }

  watched(id: string): boolean {
    return this.#readers.has(id);
  }
}

type Latches = Map<string, Set<Latch>>;
const NOBODY: readonly Latch[] = [];

/** Holds the newest hint only: a reader that was slow finds the rest in the log. */
class Latch implements Subscription {
  readonly close: () => void;
  readonly #signal: AbortSignal;
  #hint: Hint | undefined;
  #waiting: { resolve: (hint: Hint | undefined) => void; reject: (reason: unknown) => void } | undefined;

  constructor(clock: Clock, recheckMs: number, signal: AbortSignal, onClose: () => void) {
    this.#signal = signal;
    const recheck = clock.timer(recheckMs, () => {
      recheck.refresh();
      this.#release(undefined);
    });
    const abort = (): void => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.reject(signal.reason);
    };
    signal.addEventListener('abort', abort, { once: true });
    this.close = () => {
      recheck.cancel();
      signal.removeEventListener('abort', abort);
      onClose();
    };
  }

  wake(hint: Hint): void {
    if (this.#waiting === undefined) this.#hint = hint;
    else this.#release(hint);
  }

  next(): Promise<Hint | undefined> {
    this.#signal.throwIfAborted();
    const hint = this.#hint;
    this.#hint = undefined;
    if (hint !== undefined) return Promise.resolve(hint);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #release(hint: Hint | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(hint);
  }
}
