import type { Clock } from './domain/ports.ts';

/** Wall time at start plus monotonic time: a clock that jumps an hour expires nothing early (design.md §9). */
export function systemClock(): Clock {
  const offset = Date.now() - performance.now();
  return {
    now: () => Math.floor(offset + performance.now()),
    timer: (ms, run) => {
      const timer = setTimeout(run, ms);
      timer.unref();
      return {
        refresh: () => {
          timer.refresh();
        },
        cancel: () => {
          clearTimeout(timer);
        },
      };
    },
  };
}
