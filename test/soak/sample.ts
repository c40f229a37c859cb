import { once } from 'node:events';
import { closeSync, openSync, readSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { rssOf } from '../../bench/proc.ts';
import type { HoltProcess } from '../support/holt.ts';
import { LIVE_HEAP } from './live-heap.ts';

/** Looks at a server from outside: what it holds of memory, handles and disk. Linux only. */

/**
 * Quantities by name, at so many ms of performance.now(), when clients had done so many acts. What was not looked at is
 * not there.
 */
export type Sample = { at: number; acts: number; values: Map<string, number> };

export const RESIDENT = 'resident memory';
export const LIVE = 'live heap';
export const FILES = 'open files';
export const SOCKETS = 'open sockets';
export const DIRECTORY = 'data directory';
export const IN_USE = 'in use in holt.db';
export const SERIES = 'lines of /metrics';

/** Every this many samples those that cost the server something: a garbage collection, and a scrape. */
const DEAR_EVERY = 4;

export class Sampler {
  readonly samples: Sample[] = [];
  readonly #holt: HoltProcess;
  readonly #lines: ReturnType<typeof createInterface>;

  constructor(holt: HoltProcess) {
    this.#holt = holt;
    this.#lines = createInterface({ input: holt.process.stdout! });
  }

  /**
   * @param acts what clients have done so far
   * @param signal a server that does not answer is a failure of the soak, but must not hang it
   */
  async take(acts: number, signal: AbortSignal): Promise<void> {
    const values = new Map<string, number>();
    const pid = this.#holt.process.pid!;
    values.set(RESIDENT, rssOf(pid));
    for (const [name, count] of handlesOf(pid)) values.set(name, count);
    for (const [name, size] of sizesIn(this.#holt.data)) values.set(name, size);
    values.set(IN_USE, bytesInUse(join(this.#holt.data, 'holt.db')));
    const sample = { at: performance.now(), acts, values };
    if (this.samples.length % DEAR_EVERY === 0) {
      values.set(LIVE, await this.#liveHeap(signal));
      values.set(SERIES, await this.#series(signal));
    }
    this.samples.push(sample);
  }

  close(): void {
    this.#lines.close();
  }

  async #liveHeap(signal: AbortSignal): Promise<number> {
    this.#holt.process.kill('SIGUSR2');
    for (;;) {
      const [line] = (await once(this.#lines, 'line', { signal })) as [string];
      if (line.startsWith(LIVE_HEAP)) return Number(line.slice(LIVE_HEAP.length));
    }
  }

  async #series(signal: AbortSignal): Promise<number> {
    const answer = await fetch(`${this.#holt.url}/metrics`, { signal });
    return (await answer.text()).split('\n').length;
  }
}

function handlesOf(pid: number): Map<string, number> {
  const counts = new Map([
    [FILES, 0],
    [SOCKETS, 0],
  ]);
  const directory = `/proc/${pid}/fd`;
  for (const name of readdirSync(directory)) {
    const kind = kindOf(join(directory, name));
    if (kind !== undefined) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** Undefined when it was closed since the directory was read. */
function kindOf(handle: string): string | undefined {
  try {
    return readlinkSync(handle).startsWith('socket:') ? SOCKETS : FILES;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Bytes of each entry of a data directory, and of all of them. */
function sizesIn(data: string): Map<string, number> {
  const sizes = new Map([[DIRECTORY, 0]]);
  for (const entry of readdirSync(data, { recursive: true, encoding: 'utf8' })) {
    const found = statSync(join(data, entry), { throwIfNoEntry: false });
    if (found?.isFile() !== true) continue;
    const top = entry.split('/')[0] ?? entry;
    sizes.set(top, (sizes.get(top) ?? 0) + found.size);
    sizes.set(DIRECTORY, (sizes.get(DIRECTORY) ?? 0) + found.size);
  }
  return sizes;
}

/**
 * Of a database of SQLite: its pages without those that are free, from the header (https://sqlite.org/fileformat.html:
 * page size at 16, pages at 28, free pages at 36). It is written by checkpoints.
 */
function bytesInUse(file: string): number {
  const header = Buffer.alloc(40);
  const handle = openSync(file, 'r');
  try {
    readSync(handle, header, 0, header.length, 0);
  } finally {
    closeSync(handle);
  }
  return header.readUInt16BE(16) * (header.readUInt32BE(28) - header.readUInt32BE(36));
}
