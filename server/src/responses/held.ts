import type { Clock, Timer } from '../domain/ports.ts';

/**
 * What is large and dear to make, for those who want the same a moment later: held for a second from its making on and
 * within a bound, so that clients that come and go leave nothing, and what is forgotten is soon gone from here, too.
 */

const HOLD_MS = 1_000;
/** A single larger one is held all the same. */
const MOST_BYTES = 16 * 1024 * 1024;

type Entry<Value> = { value: Value; bytes: number; timer: Timer };

export class Held<Key, Value> {
  readonly #entries = new Map<Key, Entry<Value>>();
  #bytes = 0;

  get(key: Key): Value | undefined {
    return this.#entries.get(key)?.value;
  }

  /** Instead of what was there. @param bytes about */
  put(clock: Clock, key: Key, value: Value, bytes: number): void {
    this.#drop(key);
    const timer = clock.timer(HOLD_MS, () => {
      this.#drop(key);
    });
    this.#entries.set(key, { value, bytes, timer });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= MOST_BYTES || oldest === key) return;
      this.#drop(oldest);
    }
  }

  #drop(key: Key): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.timer.cancel();
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }
}
