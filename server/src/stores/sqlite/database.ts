import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';
import { Bodies } from './bodies.ts';
import { SealedKeys } from './sealed-keys.ts';

import { copyDatabase } from './copy.ts';

export type Row = Record<string, SQLOutputValue>;

/** How long a second process waits for the directory before it gives up (design.md §8), ms. */
export const LOCK_WAIT_MS = 10_000;

/** SQLite checkpoints after 1,000 pages of 4 kB. */
const LOG_BYTES = 1_000 * 4_096;

/** The directory belongs to another process. */
export class DatabaseLocked extends Error {}

/** One exclusive connection with its prepared statements. */
export class Database {
  /** What of it is sealed, and with which keys. */
  readonly bodies: Bodies;
  readonly sealedKeys = new SealedKeys();
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Waits up to ten seconds for another process to let go of the file, then throws DatabaseLocked. */
  constructor(file: string, lockWaitMs = LOCK_WAIT_MS) {
    this.#db = new DatabaseSync(file, { timeout: lockWaitMs });
    this.bodies = new Bodies(join(dirname(file), 'zdr-keys'));
    try {
      // locking_mode first: then no shared-memory file is made, and the lock is taken by the first write and kept.
      this.#db.exec('pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full');
      this.#db.exec('pragma temp_store = memory; pragma cache_size = -65536');
      this.#db.exec('begin immediate; commit');
      syncAnew(`${file}-wal`);
    } catch (error) {
      this.#db.close();
      if (isLocked(error)) throw new DatabaseLocked(`${file} is in use by another process`, { cause: error });
      throw error;
    }
  }

  /**
   * Writes the write-ahead log once to the size at which SQLite begins to reuse it: a commit that overwrites is an
   * eighth faster than one that makes the file grow, and each first token waits for one.
   */
  fillLog(): void {
    try {
      // Not one transaction: pages that are freed before their commit are never written.
      this.#db.exec(`
        create table if not exists filling (body blob);
        insert into filling values (zeroblob(${LOG_BYTES}));
        drop table filling;
        pragma wal_checkpoint(restart);
      `);
    } catch (error) {
      // It only makes commits faster: a disk without room for it can still be served from.
      if (diskFault(error) !== 'full') throw error;
    }
  }

  execute(sql: string): void {
    this.#db.exec(sql);
  }

  one(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#prepare(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepare(sql).all(...values);
  }

  /** The number of rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepare(sql).run(...values).changes);
  }

  /** The row number of the row inserted. */
  insert(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepare(sql).run(...values).lastInsertRowid);
  }

  /** Writes a page that says what it said before. In a transaction: when that is durable, the disk takes writes. */
  probe(): void {
    const version = Number(this.one('pragma user_version')?.['user_version']);
    this.#db.exec(`pragma user_version = ${version}`);
  }

  /**
   * Makes the connection good again after a write or a sync has failed; throws as long as the disk fails.
   *
   * A kernel may drop what it could not sync and call the next sync a success, so nothing is synced again in the hope
   * that it is still there. The connection knows where the last durable commit ends in the log. Every page up to there is
   * written anew, into the database file, and synced; then the log begins anew, and what the failed commit left
   * in it is void. Closing and opening would do less: it would replay the failed commit from the kernel's memory as
   * if it were on the disk, and let another process take the directory in between.
   */
  mend(): void {
    this.rollBack();
    const busy = this.one('pragma wal_checkpoint(restart)')?.['busy'];
    if (busy !== 0) throw new Error('the log of the database could not be begun anew');
    this.#db.exec('begin immediate');
    try {
      this.probe();
      this.#db.exec('commit');
    } catch (error) {
      this.rollBack();
      throw error;
    }
  }

  /** Ends the transaction that is open, if one is. */
  rollBack(): void {
    // SQLite has rolled back by itself after some faults of the disk.
    if (this.#db.isTransaction) this.#db.exec('rollback');
  }

  /** Makes a copy of it in `file` while it is used; see `copyDatabase`. */
  copyTo(file: string, stopped: () => boolean): Promise<void> {
    return copyDatabase(this.#db, file, stopped);
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/**
 * Writes what a file holds over itself, and syncs it. What a dead process left in the log is replayed, but if its last sync
 * failed, the end of it may be in the kernel's memory alone, and no later sync writes it: a power cut would then
 * take away what was built on it. Nobody else writes it: the lock is held.
 */
function syncAnew(path: string): void {
  const file = openSync(path, 'r+');
  try {
    const piece = Buffer.alloc(1 << 20);
    for (let at = 0, length = 0; (length = readSync(file, piece, 0, piece.length, at)) > 0; at += length) {
      for (let written = 0; written < length;) {
        written += writeSync(file, piece, written, length - written, at + written);
      }
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** What an error says of the disk: there is no room, or it can't be written. Undefined when it is not to blame. */
export function diskFault(error: unknown): 'full' | 'failing' | undefined {
  switch (primaryCode(error)) {
    case 13: // SQLITE_FULL
      return 'full';
    case 8: // SQLITE_READONLY: a file system that was hurt is often made so
    case 10: // SQLITE_IOERR
    case 14: // SQLITE_CANTOPEN
      return 'failing';
    default:
      return undefined;
  }
}

/** SQLITE_BUSY and SQLITE_LOCKED, with their extended forms. */
export function isLocked(error: unknown): boolean {
  const code = primaryCode(error);
  return code === 5 || code === 6;
}

function primaryCode(error: unknown): number {
  return error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0;
}
