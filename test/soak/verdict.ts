import { DIRECTORY, FILES, IN_USE, LIVE, RESIDENT, SERIES, SOCKETS } from './sample.ts';
import type { Sample } from './sample.ts';

/**
 * Whether a quantity still grows. The time after the warm-up is cut in two, and the median of the second half is held
 * against the median of the first: a leak grows all the time, while a peak, however high, moves no median.
 */

export type Verdict = {
  quantity: string;
  start: number;
  /** Medians of the halves. */
  before: number;
  after: number;
  /** How far `after` may be above `before`. */
  allowed: number;
  flat: boolean;
};

const MIB = 1 << 20;

/**
 * By how much a quantity that is flat may still differ between the halves: absolute, and as a share of the first.
 * `byPace`: and by as much more as is alive in the database when the second half was busier.
 */
type Tolerance = { absolute: number; share: number; byPace?: boolean };

/**
 * - Resident memory: V8 gives pages back late and in lumps (its young generation alone is up to 48 MiB), and the C
 *   allocator keeps what it once had. Its fine form is the live heap.
 * - Live heap, after a garbage collection: what differs is what is under way at that moment, a few large outputs at most,
 *   each some 100 kB of text in several forms, and compiled code: runs of twenty minutes have seen it shrink by 4 MiB.
 * - Open files: a server opens what it needs at its start. Two are for a key file and a look at the disk.
 * - Open sockets: one for each client that has spoken within the last ten seconds, and one for each webhook under way.
 * - Data directory: SQLite never shortens its file and fills the holes in it first, so that it grows only when there is
 *   more alive than ever before. How much is alive varies with chance.
 * - In use in the database: what was made within a lifetime, and that is up to chance: above all how many large ones.
 * - Lines of `/metrics`: an answer of a new class at a known route adds a line, and a histogram of a new kind a dozen.
 */
const TOLERANCES: Record<string, Tolerance> = {
  [RESIDENT]: { absolute: 48 * MIB, share: 0.05 },
  [LIVE]: { absolute: 3 * MIB, share: 0.02 },
  [FILES]: { absolute: 2, share: 0 },
  [SOCKETS]: { absolute: 10, share: 0.1 },
  [DIRECTORY]: { absolute: 2 * MIB, share: 0.05, byPace: true },
  [IN_USE]: { absolute: MIB, share: 0.15, byPace: true },
  [SERIES]: { absolute: 30, share: 0 },
};
/** A file of the data directory. */
const FILE: Tolerance = { absolute: 2 * MIB, share: 0.1, byPace: true };

/** Or bytes. */
export function isCount(quantity: string): boolean {
  return [FILES, SOCKETS, SERIES].includes(quantity);
}

/** Of every quantity there is, in the order of the table. @param warm when the warm-up was over, performance.now() */
export function judge(samples: readonly Sample[], warm: number): Verdict[] {
  const names = [...new Set(samples.flatMap(({ values }) => [...values.keys()]))];
  const known = Object.keys(TOLERANCES);
  const order = [...known.filter((name) => names.includes(name)), ...names.filter((name) => !known.includes(name))];
  return order.map((name) => judgeOne(name, samples, warm));
}

function judgeOne(quantity: string, samples: readonly Sample[], warm: number): Verdict {
  const middle = (warm + (samples.at(-1)?.at ?? warm)) / 2;
  const before = median(seen(quantity, samples, warm, middle));
  const after = median(seen(quantity, samples, middle));
  const { absolute, share, byPace } = TOLERANCES[quantity] ?? FILE;
  const alive = byPace === true ? median(seen(IN_USE, samples, warm, middle)) : 0;
  const busier = Math.max(0, paceOf(samples, middle) / paceOf(samples, warm, middle) - 1);
  const allowed = absolute + share * before + busier * alive;
  const start = seen(quantity, samples, 0)[0] ?? 0;
  return { quantity, start, before, after, allowed, flat: after - before <= allowed };
}

function seen(quantity: string, samples: readonly Sample[], from: number, to = Infinity): number[] {
  return samples.flatMap(({ at, values }) => {
    const value = values.get(quantity);
    return value === undefined || at < from || at >= to ? [] : [value];
  });
}

/** Acts per ms from one time to another. */
function paceOf(samples: readonly Sample[], from: number, to = Infinity): number {
  const within = samples.filter(({ at }) => at >= from && at < to);
  const [first, last] = [within[0], within.at(-1)];
  if (first === undefined || last === undefined || last.at === first.at) return 1;
  // Without any act at all there is no pace to compare with.
  return Math.max(1, last.acts - first.acts) / (last.at - first.at);
}

/** 0 of nothing: what came into being after the first half has grown from nothing. */
function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
