/**
 * How long a delta waits for company in a commit, ms (design.md §6.4). With few live responses a commit each is
 * cheap and the reader gets its token at once. At 100 streams of 50 events a second, 40 ms puts two or three events
 * into a chunk, of which half wait less than 20 ms; 25 ms holds one or two and costs about a fifth more CPU an event.
 */
export const FEW = 4;
const SOME = 30;
const MANY = 100;
const SHORT_MS = 5;
const LONG_MS = 40;

export function lingerMs(live: number): number {
  if (live <= FEW) return 0;
  if (live <= SOME) return SHORT_MS;
  return Math.min(LONG_MS, SHORT_MS + ((LONG_MS - SHORT_MS) * (live - SOME)) / (MANY - SOME));
}

/** Nobody reads, so nobody has seen it: a crash takes back at most this much that was never shown. */
export const UNWATCHED_LINGER_MS = 250;
