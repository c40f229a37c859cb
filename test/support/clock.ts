import type { Clock, Timer } from '../../server/src/domain/ports.ts';

type Pending = { at: number; ms: number; run: () => void };

/** A clock that stands still until it is advanced. */
export class FakeClock implements Clock {
  #now: number;
  #pending = new Set<Pending>();
  #awaited: { ms: number; resolve: () => void }[] = [];

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  timer(ms: number, run: () => void): Timer {
    const pending: Pending = { at: this.#now + ms, ms, run };
    this.#pending.add(pending);
    for (const waiter of this.#awaited) if (waiter.ms === ms) waiter.resolve();
    return {
      refresh: () => {
        pending.at = this.#now + ms;
        this.#pending.add(pending);
      },
      cancel: () => {
        this.#pending.delete(pending);
      },
    };
  }

  /** The lengths of the timers that run, in the order in which they are due. */
  get timers(): number[] {
    return this.#inOrder().map((pending) => pending.ms);
  }

  /** Resolves when a timer of this length runs, or is started. */
  waitForTimer(ms: number): Promise<void> {
    if (this.timers.includes(ms)) return Promise.resolve();
    return new Promise((resolve) => this.#awaited.push({ ms, resolve }));
  }

  /** Lets `ms` pass: timers fire at their time, also those that earlier ones start. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#inOrder()[0]; next !== undefined && next.at <= end; next = this.#inOrder()[0]) {
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
  }

  #inOrder(): Pending[] {
    return [...this.#pending].toSorted((a, b) => a.at - b.at);
  }
}
