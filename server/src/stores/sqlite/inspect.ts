import { isDamage } from './damage.ts';
import type { Finding } from './finding.ts';
import { inspectResponse } from './inspect-response.ts';
import { inspectConversations, inspectKeys, inspectProjects, inspectStrays, inspectWebhooks } from './inspect-state.ts';
import { ReadOnlyDatabase } from './read-only.ts';
import { SCHEMA_VERSION, migrationsUpTo, versionOf } from './schema.ts';
import { shapeOf, shapeOfSql } from './shape.ts';

/** Looks at everything a database holds, and changes nothing. Findings are without content. */

export type Inspection = {
  /** 0: nothing of Holt was ever written. */
  schema: number;
  newest: number;
  /** How many there are of what. */
  counts: [name: string, count: number][];
  findings: Finding[];
  /** Beyond those kept in `findings`. */
  more: number;
};

/** Enough to see what has happened; a ruined database has a finding for each of its rows. */
const KEPT = 1_000;
/** Of SQLite's own check. */
const OWN_CHECKS = 100;

/**
 * Throws DatabaseLocked while a server has the database, NewerSchema when this version knows too little to judge it,
 * and SQLite's own error when not even its first page can be read.
 */
export function inspectDatabase(file: string): Inspection {
  const db = new ReadOnlyDatabase(file);
  try {
    const schema = versionOf(db);
    const inspection: Inspection = { schema, newest: SCHEMA_VERSION, counts: [], findings: [], more: 0 };
    for (const finding of inspectAll(db, inspection)) {
      if (inspection.findings.length < KEPT) inspection.findings.push(finding);
      else inspection.more += 1;
    }
    return inspection;
  } finally {
    db.close();
  }
}

function* inspectAll(db: ReadOnlyDatabase, inspection: Inspection): Generator<Finding> {
  const { schema } = inspection;
  const shape = [...inspectShape(db, schema)];
  yield* shape;
  if (schema === 0) return;
  yield* guarded('the check of SQLite', () => ownCheck(db));
  if (shape.length > 0) return;
  yield* guarded('its rows', () => {
    inspection.counts = count(db, schema);
    return [];
  });
  const steps = [inspectResponses, inspectStrays, inspectConversations, inspectWebhooks, inspectProjects, inspectKeys];
  for (const step of steps) {
    yield* guarded('its rows', () => step(db, schema));
  }
}

/** A page that can't be read ends one part of the check, and not all of it. */
function* guarded(part: string, look: () => Iterable<Finding>): Generator<Finding> {
  try {
    yield* look();
  } catch (error) {
    if (!isDamage(error)) throw error;
    yield { problem: `${part}: a page can't be read` };
  }
}

function* inspectShape(db: ReadOnlyDatabase, schema: number): Generator<Finding> {
  const found = shapeOf(db);
  const expected = shapeOfSql(migrationsUpTo(schema));
  for (const [name, sql] of expected) {
    if (!found.has(name)) yield { problem: `it has no ${name} any more` };
    else if (found.get(name) !== sql) yield { problem: `its ${name} is not as Holt has made it` };
  }
  for (const name of found.keys()) if (!expected.has(name)) yield { problem: `its ${name} is not of Holt` };
}

function* ownCheck(db: ReadOnlyDatabase): Generator<Finding> {
  for (const row of db.each(`pragma integrity_check(${OWN_CHECKS})`)) {
    for (const line of String(row['integrity_check']).split('\n')) {
      if (line !== 'ok' && !line.startsWith('***')) yield { problem: line };
    }
  }
}

function count(db: ReadOnlyDatabase, schema: number): Inspection['counts'] {
  const unfinished = "status in ('queued', 'in_progress')";
  const queries: [since: number, name: string, from: string][] = [
    [1, 'responses', 'response where deleted_at is null'],
    [1, 'unfinished', `response where ${unfinished}`],
    [1, 'deleted', 'response where deleted_at is not null'],
    [1, 'chunks', 'chunk'],
    [2, 'conversations', 'conversation'],
    [2, 'items in them', 'conversation_item'],
    [3, 'webhook endpoints', 'webhook_endpoint'],
    [3, 'deliveries', 'webhook_delivery'],
    [6, 'projects', 'project where deleted_at is null'],
    [6, 'API keys', 'api_key'],
    [7, 'idempotency keys', 'idempotency'],
    [5, SEALED, 'response where zdr_slot is not null'],
  ];
  return queries
    .filter(([since]) => since <= schema)
    .map(([, name, from]): [string, number] => [
      name,
      Number(db.one(`select count(*) as count from ${from}`)?.['count']),
    ])
    .filter(([name, found]) => found > 0 || name !== SEALED);
}

/** Said only if there are any. */
const SEALED = 'sealed responses, whose content was not looked into';

function* inspectResponses(db: ReadOnlyDatabase, schema: number): Generator<Finding> {
  for (let no = -1; ;) {
    const head = db.one('select no, id, deleted_at from response where no > ? order by no limit 1', no);
    if (head === undefined) return;
    no = Number(head['no']);
    const id = String(head['id']);
    const deletable = head['deleted_at'] === null;
    try {
      const row = db.one('select * from response where no = ?', no);
      if (row === undefined) continue;
      for (const problem of inspectResponse(db, row, schema >= 4)) yield { id, problem, deletable };
    } catch (error) {
      if (!isDamage(error)) throw error;
      yield { id, problem: "a page of it can't be read" };
    }
  }
}
