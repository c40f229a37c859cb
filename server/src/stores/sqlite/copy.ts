import { closeSync, fdatasync, fdatasyncSync, openSync } from 'node:fs';
import { backup } from 'node:sqlite';
import type { DatabaseSync } from 'node:sqlite';

/**
 * A consistent copy of an open database, made in steps between which commits go on: what is committed meanwhile is in
 * it. SQLite syncs the copy in its last step, with commits waiting, so most of it has to be synced before.
 */

/** Pages of 4 kB that one step reads and writes: about a tenth of a millisecond, for which a commit may have to wait. */
const STEP_PAGES = 64;
/** Steps between syncs: 4 MB. A disk that is slower than the copy holds commits up for the sync of about as much. */
const SYNC_STEPS = 16;
/** A first step that meets a commit fails without a word of why (Node takes "busy" for the end); it costs nothing. */
const TRIES = 1_000;

/** The copy was given up because somebody asked for that. */
class CopyStopped extends Error {}

/**
 * Resolves when the copy is complete and synced. Rejects when `stopped` says so before a step, or with what SQLite or
 * the disk says; then the file is worth nothing.
 */
export async function copyDatabase(db: DatabaseSync, file: string, stopped: () => boolean): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    let begun = false;
    const syncs = new Syncs(file);
    try {
      await backup(db, file, {
        rate: STEP_PAGES,
        progress: () => {
          begun = true;
          if (stopped()) throw new CopyStopped('the copy was given up');
          syncs.step();
        },
      });
      return;
    } catch (error) {
      if (begun || tries === TRIES || stopped() || !isSilent(error)) throw error;
    } finally {
      await syncs.close();
    }
  }
}

function isSilent(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 0;
}

class Syncs {
  readonly #file: string;
  #descriptor: number | undefined;
  #steps = 0;
  #underWay: Promise<void> | undefined;
  #error: Error | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  /** Aside if the last sync is over, and otherwise here and now: so the copy gets no further ahead of the disk. */
  step(): void {
    if (this.#error !== undefined) throw this.#error;
    this.#steps += 1;
    if (this.#steps % SYNC_STEPS !== 0) return;
    this.#descriptor ??= openSync(this.#file, 'r');
    if (this.#underWay === undefined) this.#underWay = this.#sync(this.#descriptor);
    else fdatasyncSync(this.#descriptor);
  }

  async close(): Promise<void> {
    await this.#underWay;
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }

  #sync(descriptor: number): Promise<void> {
    return new Promise((resolve) => {
      fdatasync(descriptor, (error) => {
        this.#error ??= error ?? undefined;
        this.#underWay = undefined;
        resolve();
      });
    });
  }
}
