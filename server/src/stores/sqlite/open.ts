import { Database } from './database.ts';
import { DatabaseDamaged, isDamage, recognize } from './damage.ts';
import { migrate } from './schema.ts';

/**
 * Opens the database for serving, made or upgraded if need be. Throws DatabaseLocked, DatabaseDamaged, or what is wrong
 * in other words.
 * @param used as `recognize` has it
 */
export function openDatabase(file: string, used: boolean): Database {
  let db: Database | undefined;
  try {
    db = new Database(file, undefined, (opened) => {
      recognize(opened, file, used);
    });
    migrate(db);
    db.fillLog();
    return db;
  } catch (error) {
    db?.close();
    if (!isDamage(error)) throw error;
    throw new DatabaseDamaged(file, `is damaged (${error instanceof Error ? error.message : ''})`, { cause: error });
  }
}
