import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';

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
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Waits up to ten seconds for another process to let go of the file, then throws DatabaseLocked. */
  constructor(file: string, lockWaitMs = LOCK_WAIT_MS) {
    this.#db = new DatabaseSync(file, { timeout: lockWaitMs });
    try {
      // locking_mode first: then no shared-memory file is made, and the lock is taken by the first write and kept.
      this.#db.exec('pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full');
      this.#db.exec('pragma temp_store = memory; pragma cache_size = -65536');
      this.#db.exec('begin immediate; commit');
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
    // A start that was killed in between has left the table.
    this.#db.exec(`
      drop table if exists filling;
      create table filling (body blob);
      insert into filling values (zeroblob(${LOG_BYTES}));
      drop table filling;
      pragma wal_checkpoint(restart);
    `);
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

/** SQLITE_BUSY and SQLITE_LOCKED, with their extended forms. */
export function isLocked(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0;
  return code === 5 || code === 6;
}
