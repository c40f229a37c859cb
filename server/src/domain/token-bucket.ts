/**
 * A limit a minute that fills up again all the time. It holds one minute's worth: within any span of time no more is
 * taken than that and what flows in meanwhile. It may be in debt, when something took more than was thought; then
 * nothing is taken until that is made up for. Times in ms, waits in whole ones.
 */

const MINUTE_MS = 60_000;
/** What binary fractions are off by is not waited for. */
const EPSILON = 1e-6;

export class TokenBucket {
  #limit: number;
  #level: number;
  #at: number;

  constructor(limit: number, now: number) {
    this.#limit = limit;
    this.#level = limit;
    this.#at = now;
  }

  /** What was used under the old limit stays used under the new one. */
  setLimit(limit: number, now: number): void {
    if (limit === this.#limit) return;
    this.#refill(now);
    this.#level += limit - this.#limit;
    this.#limit = limit;
  }

  level(now: number): number {
    this.#refill(now);
    return this.#level;
  }

  /** Until `amount` can be taken; 0 when it can be now, Infinity when it never can. */
  waitMs(amount: number, now: number): number {
    if (amount > this.#limit) return Infinity;
    return this.#untilMs(amount, now);
  }

  /** Until it is full. */
  resetMs(now: number): number {
    return this.#untilMs(this.#limit, now);
  }

  /** Whether it is there or not. A negative amount is given back. */
  take(amount: number, now: number): void {
    this.#refill(now);
    this.#level = Math.min(this.#limit, this.#level - amount);
  }

  #untilMs(amount: number, now: number): number {
    this.#refill(now);
    const missing = amount - this.#level;
    return missing <= EPSILON ? 0 : Math.ceil((missing * MINUTE_MS) / this.#limit);
  }

  #refill(now: number): void {
    this.#level = Math.min(this.#limit, this.#level + (Math.max(0, now - this.#at) * this.#limit) / MINUTE_MS);
    this.#at = Math.max(this.#at, now);
  }
}
