import { readFileSync } from 'node:fs';
import type { HoltProcess } from './holt.ts';

/** Environment of a server with as much heap as a small machine has: with plenty, garbage is left to lie. */
export const SMALL_MACHINE = { NODE_OPTIONS: '--max-old-space-size=200' };

/** The most memory that the process has had so far, MB. */
export function peakMemory({ process }: HoltProcess): number {
  const kib = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${process.pid}/status`, 'utf8'))?.[1];
  return Math.round((Number(kib) * 1_024) / 1e6);
}
