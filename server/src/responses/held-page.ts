import type { Clock, Timer } from '../domain/ports.ts';
import type { ResponseEvent } from '../protocol/events.ts';

/**
 * A page of a log in the hands of one reader, who takes it slice by slice. A page is some MB while it is decoded: a
 * reader that lets it lie loses it, and reads the rest again when it comes back. So a thousand readers that never read
 * hold a slice each, and no page.
 */

/** About 60 kB of SSE: one write. */
const SLICE_EVENTS = 256;
/** Pages that are decoded in this time are what stalled readers hold at most, ms; a reader in motion is faster. */
const HOLD_MS = 1_000;

export class HeldPage {
  #events: readonly ResponseEvent[] | undefined;
  #taken = 0;
  readonly #timer: Timer;

  constructor(clock: Clock, events: readonly ResponseEvent[]) {
    this.#events = events;
    this.#timer = clock.timer(HOLD_MS, () => {
      this.#events = undefined;
    });
  }

  /** Undefined at the end of the page, or when it lay too long. */
  take(): readonly ResponseEvent[] | undefined {
    const slice = this.#events?.slice(this.#taken, this.#taken + SLICE_EVENTS);
    if (slice === undefined || slice.length === 0) {
      this.drop();
      return undefined;
    }
    this.#taken += slice.length;
    this.#timer.refresh();
    return slice;
  }

  drop(): void {
    this.#events = undefined;
    this.#timer.cancel();
  }
}
