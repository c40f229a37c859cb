import type { Clock, Slot } from '../domain/ports.ts';

/** How many responses run at once (`worker.concurrency`). A freed slot goes to who waits for one, then to `onFree`. */
export class Slots {
  readonly #clock: Clock;
  readonly #onFree: () => void;
  readonly #waiting = new Set<(slot: Slot) => void>();
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
  take(ms: number, signal: AbortSignal): Promise<Slot | undefined> {
    signal.throwIfAborted();
    const slot = this.tryTake();
    if (slot !== undefined) return Promise.resolve(slot);
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', abort);
        this.#waiting.delete(give);
      };
      const give = (given: Slot): void => {
        finish();
        resolve(given);
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
      this.#waiting.add(give);
    });
  }

  #makeSlot(): Slot {
    let released = false;
    return {
      release: () => {
        if (released) return;
        released = true;
        const [first] = this.#waiting;
        if (first !== undefined) {
          first(this.#makeSlot());
          return;
        }
        this.#free += 1;
        this.#onFree();
      },
    };
  }
}
