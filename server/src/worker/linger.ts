/**
 * How long a delta waits for company in a commit, ms (design.md §6.4). With few live responses a commit each is
 * cheap and the reader gets its token at once. At 100 streams of 50 events a second, 25 ms makes the durable relay
 * about as cheap as one without storage, where 5 ms costs 1.3 times.
 */
const FEW = 4;
const SOME = 30;
const MANY = 100;

export function lingerMs(live: number): number {
  if (live <= FEW) return 0;
  if (live <= SOME) return 5;
  return Math.min(25, 5 + (20 * (live - SOME)) / (MANY - SOME));
}

/** Nobody reads, so nobody has seen it: a crash takes back at most this much that was never shown. */
export const UNWATCHED_LINGER_MS = 250;
