import type { Clock } from './ports.ts';

/** Resolves after `ms`, or at once when `signal` aborts. */
export function waitMs(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = clock.timer(ms, finish);
    signal.addEventListener('abort', finish, { once: true });
  });
}
