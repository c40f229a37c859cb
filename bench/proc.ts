import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** What the operating system says about a process: all its threads, kernel time included. Linux only. */

/** Ticks of /proc/<pid>/stat: USER_HZ is 100 wherever Node runs on Linux. */
const TICK_US = 10_000;

/** User and system time since it began, µs, to 10 ms. */
export function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name before it may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/** Resident memory, bytes. */
export function rssOf(pid: number): number {
  const kB = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kB) * 1024;
}

/** The least over `ms`. */
export async function settledRss(pid: number, ms: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (const end = performance.now() + ms; performance.now() < end; await sleep(200)) {
    least = Math.min(least, rssOf(pid));
  }
  return least;
}

/** Waits until the process has nothing to do, for `leastMs` at least. */
export async function quiet(pid: number, leastMs: number): Promise<void> {
  const SPAN_MS = 400;
  const MOST_MS = 10_000;
  const start = performance.now();
  for (;;) {
    const before = cpuOf(pid);
    await sleep(SPAN_MS);
    const waited = performance.now() - start;
    if ((waited >= leastMs && cpuOf(pid) - before <= TICK_US) || waited > MOST_MS) return;
  }
}
