import { existsSync, rmSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, StatementSync } from 'node:sqlite';
import { DatabaseLocked, isLocked } from './database.ts';
import type { Row } from './database.ts';

/** A server that is just ending may take a moment. */
const LOCK_WAIT_MS = 1_000;

/**
 * A database that nobody serves, opened to be read only: neither it nor its log is written, and no server can open it
 * meanwhile. SQLite needs a file beside it to read the log (`-shm`), and makes an empty log where there is none (`-wal`);
 * both are gone again when it is closed.
 */
export class ReadOnlyDatabase {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #made: string[];

  /** Throws DatabaseLocked when a server has it for longer than `lockWaitMs`. */
  constructor(file: string, lockWaitMs = LOCK_WAIT_MS) {
    this.#made = [`${file}-wal`, `${file}-shm`].filter((name) => !existsSync(name));
    this.#db = new DatabaseSync(file, { readOnly: true, timeout: lockWaitMs });
    try {
      // The first read takes the lock that keeps servers out, and the transaction keeps it.
      this.#db.exec('begin');
      this.one('select 1 from sqlite_schema limit 1');
    } catch (error) {
      if (!isLocked(error)) {
        this.close();
        throw error;
      }
      // What is beside the database is the server's.
      this.#statements.clear();
      this.#db.close();
      throw new DatabaseLocked(`${file} is in use by another process`, { cause: error });
    }
  }

  one(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#prepare(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepare(sql).all(...values);
  }

  /** One row at a time. A second walk through the same statement ends the first. */
  each(sql: string, ...values: SQLInputValue[]): Iterable<Row> {
    return this.#prepare(sql).iterate(...values);
  }

  close(): void {
    this.#statements.clear();
    // Before the lock goes: afterwards they may be a server's.
    for (const name of this.#made) {
      if (existsSync(name) && (name.endsWith('-shm') || statSync(name).size === 0)) rmSync(name);
    }
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
