import type { Clock, Slot } from '../domain/ports.ts';

/**
 * How many responses run at once (`worker.concurrency`). A freed slot goes to who waits for one here, then to `onFree`.
 * Projects that wait have their turns by weight, as in the queue (`Store.claim`); inside a project the first comes first.
 */

/** Whose turn it is to get a slot. */
export type Share = { projectId: string; weight: number };

type Waiting = { share: Share; give: (slot: Slot) => void };

export class Slots {
  readonly #clock: Clock;
  readonly #onFree: () => void;
  readonly #waiting = new Set<Waiting>();
  /** Where the turns of projects have come to; who is not in it, or behind `#turn`, is at `#turn`. */
  readonly #passes = new Map<string, number>();
  /** The pass of the last turn. */
  #turn = 0;
  #free: number;

  constructor(concurrency: number, clock: Clock, onFree: () => void) {
    this.#free = concurrency;
    this.#clock = clock;
    this.#onFree = onFree;
  }

  get free(): number {
    return this.#free;
  }

  tryTake(): Slot | undefined {
    if (this.#free === 0) return undefined;
    this.#free -= 1;
    return this.#makeSlot();
  }

  /** Undefined after `ms`. Rejects when `signal` aborts. */
  take(ms: number, signal: AbortSignal, share: Share): Promise<Slot | undefined> {
    signal.throwIfAborted();
    const slot = this.tryTake();
    if (slot !== undefined) return Promise.resolve(slot);
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', abort);
        this.#waiting.delete(waiting);
        if (this.#waiting.size === 0) this.#passes.clear();
      };
      const waiting: Waiting = {
        share,
        give: (given) => {
          finish();
          resolve(given);
        },
      };
      const abort = (): void => {
        finish();
        reject(signal.reason as Error);
      };
      const timer = this.#clock.timer(ms, () => {
        finish();
        resolve(undefined);
      });
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.add(waiting);
    });
  }

  #makeSlot(): Slot {
    let released = false;
    return {
      release: () => {
        if (released) return;
        released = true;
        const next = this.#next();
        if (next !== undefined) {
          next.give(this.#makeSlot());
          return;
        }
        this.#free += 1;
        this.#onFree();
      },
    };
  }

  /** Of projects whose turns have come equally far, the one that waits longest. */
  #next(): Waiting | undefined {
    let next: Waiting | undefined;
    let least = Infinity;
    for (const waiting of this.#waiting) {
      const pass = Math.max(this.#passes.get(waiting.share.projectId) ?? 0, this.#turn);
      if (pass < least) [next, least] = [waiting, pass];
    }
    if (next === undefined) return undefined;
    this.#turn = least;
    this.#passes.set(next.share.projectId, least + 1 / next.share.weight);
    return next;
  }
}
