import { statSync } from 'node:fs';
import { DatabaseDamaged, isDamage, recognize } from './damage.ts';
import { Database, LOCK_WAIT_MS, diskFault } from './database.ts';
import { loadKeys } from './forgetting.ts';
import { ReadOnlyDatabase } from './read-only.ts';
import { migrate } from './schema.ts';

/**
 * Opens the database for serving, made or upgraded if need be. Throws DatabaseLocked, DatabaseDamaged, or what is wrong
 * in other words.
 * @param used as `recognize` has it
 * @param giveRoom called when the disk is too full to upgrade: true when there is more room now
 */
export function openDatabase(file: string, used: boolean, giveRoom: () => boolean): Database {
  let db: Database | undefined;
  try {
    if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0) lookAt(file, used);
    db = new Database(file);
    upgrade(db, giveRoom);
    db.fillLog();
    loadKeys(db);
    return db;
  } catch (error) {
    db?.close();
    if (!isDamage(error)) throw error;
    const words = error instanceof Error ? error.message : '';
    throw new DatabaseDamaged(file, `is damaged (${words})`, db === undefined ? 'untouched' : 'touched', {
      cause: error,
    });
  }
}

function upgrade(db: Database, giveRoom: () => boolean): void {
  try {
    migrate(db);
  } catch (error) {
    if (diskFault(error) !== 'full' || !giveRoom()) throw error;
    migrate(db);
  }
}

/**
 * Only to be read, since to close a database that could be written is to write what its log holds into it. Not on a disk
 * that is full or fails: it does not take the file that SQLite reads a log with, and what is stored is served all the same.
 */
function lookAt(file: string, used: boolean): void {
  let db: ReadOnlyDatabase | undefined;
  try {
    db = new ReadOnlyDatabase(file, LOCK_WAIT_MS);
    recognize(db, file, used);
  } catch (error) {
    if (diskFault(error) === undefined) throw error;
  } finally {
    db?.close();
  }
}
