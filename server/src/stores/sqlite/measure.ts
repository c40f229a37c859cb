import { statSync } from 'node:fs';
import type { Measured } from '../../domain/ports.ts';
import type { Database } from './database.ts';
import { WAITING } from './queue.ts';

/** What whoever watches wants to know: a count over a partial index, and two looks at the file system. */
export function measure(db: Database): Measured {
  const waiting = db.one(`select count(*) as queued from response where ${WAITING}`);
  const main = db.one("select file from pragma_database_list where name = 'main'");
  const file = String(main?.['file']);
  return { queued: Number(waiting?.['queued']), databaseBytes: sizeOf(file), logBytes: sizeOf(`${file}-wal`) };
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
