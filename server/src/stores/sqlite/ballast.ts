import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, rmSync, statSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A file that holds room on the disk. When the disk is full it is removed, and what it held is for the last chunks of
 * what runs; until there is room for it again, no new work is taken.
 */

/** What 256 running responses (`worker.concurrency`) need to end with 32 KiB of text, which is longer than most, each. */
const BALLAST_BYTES = 8 << 20;
const PIECE_BYTES = 1 << 20;
/** Made again with as much to spare, so that it does not come and go at the edge of a full disk. */
const ROOM_BYTES = 2 * BALLAST_BYTES;

export class Ballast {
  readonly #directory: string;
  readonly #file: string;
  #held: boolean;

  /** Made if it is missing; not held when there is no room. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#file = join(directory, 'ballast');
    this.#held = statSync(this.#file, { throwIfNoEntry: false })?.size === BALLAST_BYTES;
    if (this.#held) return;
    try {
      this.make();
    } catch {
      // The probe of the store makes it when there is room, and says why it can't.
      this.#held = false;
    }
  }

  get held(): boolean {
    return this.#held;
  }

  /** Leaves its room to what is written next. False when it was not there to be given. */
  giveUp(): boolean {
    if (!this.#held) return false;
    this.#held = false;
    rmSync(this.#file, { force: true });
    return true;
  }

  /** Throws while there is no room for it. */
  make(): void {
    const { blocks, bavail, bsize } = statfsSync(this.#directory);
    // Some file systems don't tell.
    if (blocks > 0 && bavail * bsize < ROOM_BYTES) throw new Error(`less than ${ROOM_BYTES} bytes are free`);
    // Random, since some file systems store a file of zeros in no room at all. Not synced: room is taken by the write.
    const piece = randomFillSync(new Uint8Array(PIECE_BYTES));
    const file = openSync(this.#file, 'w', 0o600);
    try {
      for (let written = 0; written < BALLAST_BYTES;) {
        written += writeSync(file, piece, 0, Math.min(PIECE_BYTES, BALLAST_BYTES - written));
      }
      this.#held = true;
    } finally {
      closeSync(file);
      if (!this.#held) rmSync(this.#file, { force: true });
    }
  }
}
