import { DatabaseSync, StatementSync } from 'node:sqlite';
import { isMainThread } from 'node:worker_threads';
import { Stopper } from './points.ts';

/**
 * Loaded before everything else (`--import`) in each thread of a killable server: in the one of the store it looks at
 * each statement before it runs. What several statements are given as is run one by one.
 */

if (!isMainThread) watchStatements(new Stopper(process.env['HOLT_STOPS'] ?? '[]'));

function watchStatements(stopper: Stopper): void {
  const statements = stopper.points('statement');
  const commits = stopper.points('commit').map((point) => ({ point, missing: new Set(point.sql) }));
  const before = (text: string): void => {
    const sql = text.trim();
    for (const point of statements) if (point.sql.some((pattern) => pattern.test(sql))) stopper.comesBy(point);
    for (const { point, missing } of commits) {
      if (sql === 'commit' && missing.size === 0) stopper.comesBy(point);
      if (sql === 'begin immediate') for (const pattern of point.sql) missing.add(pattern);
      for (const pattern of missing) if (pattern.test(sql)) missing.delete(pattern);
    }
  };
  const verbs = ['run', 'get', 'all'] as const;
  for (const verb of verbs) {
    const own = StatementSync.prototype[verb] as (...values: never[]) => never;
    StatementSync.prototype[verb] = function watched(this: StatementSync, ...values: never[]) {
      before(this.sourceSQL);
      return own.apply(this, values);
    };
  }
  // oxlint-disable-next-line typescript/unbound-method -- called with the receiver of whoever calls the new one
  const { exec } = DatabaseSync.prototype;
  DatabaseSync.prototype.exec = function watched(this: DatabaseSync, sql: string): void {
    for (const statement of sql.replaceAll(/--.*$/gm, '').split(';')) {
      if (statement.trim() === '') continue;
      before(statement);
      exec.call(this, statement);
    }
  };
}
