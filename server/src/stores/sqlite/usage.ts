import { dayOf } from '../../domain/limits.ts';
import type { Scope, TokenCounts } from '../../domain/limits.ts';
import type { End } from '../../domain/ports.ts';
import type { Charge, ModelUsage } from '../../domain/usage-store.ts';
import type { Database } from './database.ts';
import { isDeletedProject } from './projects.ts';

/** What was used on a day: a row for each project, key and model, added to with the end of a response. */

export const NO_TOKENS: TokenCounts = { input: 0, cached: 0, output: 0 };

export function addUsage(db: Database, { projectId, keyId, modelEntry, at, counts }: Charge): void {
  if (isDeletedProject(db, projectId)) return;
  db.run(
    `insert into usage (project_id, day, key_id, model_entry, input_tokens, cached_tokens, output_tokens, requests)
     values (?, ?, ?, ?, ?, ?, ?, 1)
     on conflict do update set input_tokens = input_tokens + excluded.input_tokens,
       cached_tokens = cached_tokens + excluded.cached_tokens,
       output_tokens = output_tokens + excluded.output_tokens, requests = requests + 1`,
    projectId,
    dayOf(at),
    keyId ?? '',
    modelEntry,
    counts.input,
    counts.cached,
    counts.output,
  );
}

/** Of a response that has a row, and has just ended. */
export function addUsageOf(db: Database, no: number, { doneAt, usage = NO_TOKENS }: End): void {
  const row = db.one('select project_id, key_id, model_entry, model from response where no = ?', no);
  if (row === undefined) return;
  const keyId = row['key_id'] === null ? null : String(row['key_id']);
  const modelEntry = String(row['model_entry'] ?? row['model']);
  addUsage(db, { projectId: String(row['project_id']), keyId, modelEntry, at: doneAt, counts: usage });
}

const WHOSE = {
  project: 'project_id = ? and day = ?',
  key: 'key_id = ? and day = ?',
  model: 'model_entry = ? and day = ?',
} as const satisfies Record<Scope['kind'], string>;

export function readUsage(db: Database, { kind, id }: Scope, day: string): ModelUsage[] {
  const rows = db.all(
    `select model_entry, sum(input_tokens) as input, sum(cached_tokens) as cached, sum(output_tokens) as output,
       sum(requests) as requests
     from usage where ${WHOSE[kind]} group by model_entry`,
    id,
    day,
  );
  return rows.map((row) => ({
    modelEntry: String(row['model_entry']),
    input: Number(row['input']),
    cached: Number(row['cached']),
    output: Number(row['output']),
    requests: Number(row['requests']),
  }));
}
