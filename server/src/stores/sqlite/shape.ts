import { DatabaseSync } from 'node:sqlite';
import type { Database, Row } from './database.ts';

/** The tables and indexes of a database, by `table NAME` and `index NAME`, with the SQL that has made them. */
export type Shape = Map<string, string>;

/** SQLite's own ones, and the one that a start fills the log with. */
const ELSES = "name not like 'sqlite\\_%' escape '\\' and name <> 'filling'";
const QUERY = `select type, name, sql from sqlite_schema where ${ELSES}`;

export function shapeOf(db: Pick<Database, 'all'>): Shape {
  return toShape(db.all(QUERY));
}

/** What `sql` makes of an empty database. */
export function shapeOfSql(sql: string): Shape {
  const db = new DatabaseSync(':memory:');
  try {
    db.exec(sql);
    return toShape(db.prepare(QUERY).all());
  } finally {
    db.close();
  }
}

function toShape(rows: Row[]): Shape {
  return new Map(rows.map(({ type, name, sql }) => [`${String(type)} ${String(name)}`, String(sql)]));
}
