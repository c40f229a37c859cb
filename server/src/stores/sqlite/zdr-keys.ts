import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/**
 * The keys of responses under zero data retention (design.md §9). They lie in files of their own, beside the database
 * and in no backup, since what is deleted from a database stays in its write-ahead log. A file is made whole and
 * synced before any key of it is used; a key is used for one response, then overwritten in place. No slot is ever used
 * twice, and no file by two processes: each begins a new one.
 */

const SLOTS = 4_096;
const KEY_BYTES = 32;
const DESTROYED = Buffer.alloc(KEY_BYTES);

/** `name` is what the row says of it. */
export type Slot = { name: string; key: Buffer };

export class ZdrKeys {
  readonly #directory: string;
  /** Slots of each file that a response needs. */
  readonly #live = new Map<string, Set<number>>();
  #current: { file: string; next: number; keys: Buffer } | undefined;

  /** Touches nothing on disk before the first key is needed. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * The keys that a former process has left for these slots; what is missing in the answer is lost. Every other key is
   * destroyed: its response expired, or never came to be.
   */
  open(names: ReadonlySet<string>): Map<string, Buffer> {
    const found = new Map<string, Buffer>();
    if (!existsSync(this.#directory)) return found;
    for (const file of readdirSync(this.#directory)) {
      const keys = readFileSync(join(this.#directory, file));
      const live = new Set<number>();
      const unused: number[] = [];
      for (let place = 0; (place + 1) * KEY_BYTES <= keys.length; place += 1) {
        const key = keyAt(keys, place);
        const name = nameOf(file, place);
        if (key.equals(DESTROYED)) continue;
        if (names.has(name)) {
          found.set(name, Buffer.from(key));
          live.add(place);
        } else unused.push(place);
      }
      this.#live.set(file, live);
      this.#overwrite(file, unused);
    }
    return found;
  }

  /** A key that was never used. Throws when no file of keys can be made. */
  take(): Slot {
    if (this.#current === undefined || this.#current.next === SLOTS) {
      const full = this.#current?.file;
      this.#current = this.#make();
      if (full !== undefined) this.#overwrite(full, []);
    }
    const { file, next, keys } = this.#current;
    this.#current.next += 1;
    this.#live.get(file)?.add(next);
    return { name: nameOf(file, next), key: keyAt(keys, next) };
  }

  /** Overwritten and synced when it returns, one sync a file. A file that nobody needs any more is removed. */
  destroy(names: readonly string[]): void {
    const places = Map.groupBy(names.map(placeOf), ({ file }) => file);
    for (const [file, slots] of places) {
      if (!this.#live.has(file)) continue;
      this.#overwrite(
        file,
        slots.map(({ place }) => place),
      );
    }
  }

  #overwrite(file: string, places: readonly number[]): void {
    const live = this.#live.get(file) ?? new Set();
    const last = places.filter((place) => live.has(place)).length === live.size && file !== this.#current?.file;
    // A file that goes takes with it what was never used, or whose response did not come to be.
    const doomed = last ? Array.from({ length: SLOTS }, (_, place) => place) : places;
    if (doomed.length === 0) return;
    const path = join(this.#directory, file);
    const descriptor = openSync(path, 'r+');
    try {
      if (last) writeSync(descriptor, Buffer.alloc(SLOTS * KEY_BYTES), 0, SLOTS * KEY_BYTES, 0);
      else for (const place of places) writeSync(descriptor, DESTROYED, 0, KEY_BYTES, place * KEY_BYTES);
      fdatasyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    for (const place of places) {
      live.delete(place);
      if (file === this.#current?.file) keyAt(this.#current.keys, place).fill(0);
    }
    if (!last) return;
    unlinkSync(path);
    this.#live.delete(file);
  }

  #make(): { file: string; next: number; keys: Buffer } {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const file = `${randomBytes(8).toString('hex')}.keys`;
    const keys = randomBytes(SLOTS * KEY_BYTES);
    const descriptor = openSync(join(this.#directory, file), 'wx', 0o600);
    try {
      writeSync(descriptor, keys);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    // Both names have to survive a power cut, or the keys are gone while their responses are there.
    for (const directory of [this.#directory, join(this.#directory, '..')]) syncDirectory(directory);
    this.#live.set(file, new Set());
    return { file, next: 0, keys };
  }
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function keyAt(keys: Buffer, place: number): Buffer {
  return keys.subarray(place * KEY_BYTES, (place + 1) * KEY_BYTES);
}

function nameOf(file: string, place: number): string {
  return `${file}/${place}`;
}

function placeOf(name: string): { file: string; place: number } {
  const slash = name.lastIndexOf('/');
  return { file: name.slice(0, slash), place: Number(name.slice(slash + 1)) };
}
