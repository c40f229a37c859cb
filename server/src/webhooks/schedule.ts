import type { Random } from '../domain/ports.ts';

/** When a delivery is tried again: after 5 s, then twice as long each time, at most 4 h, for 72 h in all. */

const FIRST_MS = 5_000;
const LONGEST_MS = 4 * 3_600_000;
export const GIVE_UP_MS = 72 * 3_600_000;

/**
 * Undefined when it was the last try. Half to one and a half of the pause, so that what failed together does not come
 * back together; the last try is at the very end.
 * @param tries so far, the one that has just failed included
 */
export function nextTryAt(tries: number, queuedAt: number, now: number, random: Random): number | undefined {
  const last = queuedAt + GIVE_UP_MS;
  if (now >= last) return undefined;
  const pause = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(tries - 1, 30));
  return Math.min(last, now + Math.round(pause * (0.5 + random())));
}
