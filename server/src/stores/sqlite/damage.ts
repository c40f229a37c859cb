import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from './database.ts';
import { SCHEMA_VERSION, migrationsUpTo, versionOf } from './schema.ts';
import { shapeOf, shapeOfSql } from './shape.ts';

/**
 * What a start looks for before it trusts a directory, as far as that is cheap: nothing here grows with the database.
 * `holt doctor` looks at everything.
 */

export const ADVICE =
  'See what `holt doctor` says of the directory, then restore a backup, or move the directory away to begin anew.';

/** The database is not what Holt has written. */
export class DatabaseDamaged extends Error {
  /** @param touched whether something may have been written before that was seen */
  constructor(file: string, reason: string, touched: 'untouched' | 'touched', options?: ErrorOptions) {
    super(`${file} ${reason}. ${touched === 'untouched' ? 'Nothing was changed. ' : ''}${ADVICE}`, options);
  }
}

/** SQLITE_CORRUPT and SQLITE_NOTADB, with their extended forms. */
export function isDamage(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0;
  return code === 11 || code === 26;
}

/** The same of an error that has come as text. */
export function isDamageText(error: string): boolean {
  return error.includes('database disk image is malformed') || error.includes('file is not a database');
}

/** What only a directory that had a database has. */
const COMPANIONS = ['holt.db-wal', 'secret', 'admin.key', 'zdr-keys'];

/**
 * Why there should be a database where there is none; undefined when there is one, or when nothing says that there was
 * one. To be asked before SQLite is: it throws a log away whose database is empty. Files are not opened for this, since
 * closing one would let go of the locks that this process has on it.
 */
export async function whatIsLost(directory: string): Promise<string | undefined> {
  // These first: a server that is starting right now makes them after the database.
  const [companion] = await companionsIn(directory);
  const size = await sizeOf(join(directory, 'holt.db'));
  if (companion === undefined || (size ?? 0) > 0) return undefined;
  return size === undefined ? `is missing beside ${companion}` : `is empty beside ${companion}`;
}

/** Whether there was a database that had its tables. */
export async function hasCompanions(directory: string): Promise<boolean> {
  return (await companionsIn(directory)).some((name) => name !== 'holt.db-wal');
}

async function companionsIn(directory: string): Promise<string[]> {
  const found = await Promise.all(
    COMPANIONS.map(async (name) => ((await sizeOf(join(directory, name))) === undefined ? [] : [name])),
  );
  return found.flat();
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Throws when the file is something else, was written by a newer Holt, or lacks a table or an index. To be called
 * before anything is written.
 * @param used whether something of ours is beside it that is made after the database
 */
export function recognize(db: Pick<Database, 'all' | 'one'>, file: string, used: boolean): void {
  const version = versionOf(db);
  const found = shapeOf(db);
  if (version === 0 && found.size > 0) throw new DatabaseDamaged(file, 'is a database, but none of Holt', 'untouched');
  if (version === 0 && used) throw new DatabaseDamaged(file, 'has lost its tables', 'untouched');
  const expected = shapeOfSql(migrationsUpTo(Math.min(version, SCHEMA_VERSION)));
  for (const name of expected.keys()) {
    if (!found.has(name)) throw new DatabaseDamaged(file, `has no ${name} any more`, 'untouched');
  }
  for (const name of found.keys()) {
    // The first page of each, and with it that it can be read at all.
    if (name.startsWith('table ')) db.one(`select 1 from "${name.slice('table '.length)}" limit 1`);
  }
}
