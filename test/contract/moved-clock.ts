import { systemClock } from '../../server/src/clock.ts';
import type { Clock, Timer } from '../../server/src/domain/ports.ts';

/** The real clock, set forward by as much as a test says. Timers run in real time. */
export class MovedClock implements Clock {
  readonly #clock = systemClock();
  later = 0;

  now(): number {
    return this.#clock.now() + this.later;
  }

  timer(ms: number, run: () => void): Timer {
    return this.#clock.timer(ms, run);
  }
}
