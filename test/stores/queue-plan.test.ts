import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Database } from '../../server/src/stores/sqlite/database.ts';
import { CONTENDERS, NEXT, WAITING, takeTurns } from '../../server/src/stores/sqlite/queue.ts';
import { migrate } from '../../server/src/stores/sqlite/schema.ts';

/** A claim costs the same however many rows are stored and queued: each of its questions is answered by an index. */

const QUEUED = 10_000;

let directory: string;
let db: Database;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holt-plan-'));
  db = new Database(join(directory, 'holt.db'));
  migrate(db);
  db.execute(`
    insert into project (id, name, created_at, updated_at, max_running)
      values ('a', '', 0, 0, null), ('b', '', 0, 0, 100);
    insert into response (id, project_id, status, model, provider, background, stream, request, created_at, expires_at,
        log_state)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ${QUEUED})
      select 'resp_' || i, 'a', 'queued', 'm', 'p', 1, 0, x'', 0, 1, 0 from n;
    insert into response (id, project_id, status, model, provider, background, stream, request, created_at, expires_at,
        log_state)
      values ('resp_b', 'b', 'queued', 'm', 'p', 1, 0, x'', 0, 1, 0);
  `);
});
after(async () => {
  db.close();
  await rm(directory, { recursive: true });
});

function planOf(sql: string, ...values: (string | number)[]): string[] {
  return db
    .all(`explain query plan ${sql}`, ...values)
    .map((row) => String(row['detail']))
    .filter((line) => /\bresponse\b/.test(line));
}

test('every question of a claim goes down an index', () => {
  const questions: [sql: string, values: (string | number)[]][] = [
    [CONTENDERS, []],
    [NEXT, ['a', 0]],
    [`select no from response where ${WAITING} and created_at <= ? order by created_at limit ?`, [0, 1]],
    [`select 1 from response where project_id = ? and ${WAITING} and priority = ? and no < ? limit 1`, ['a', 0, 9]],
  ];
  for (const [sql, values] of questions) {
    const plan = planOf(sql, ...values);
    assert.ok(plan.length > 0, sql);
    for (const line of plan)
      assert.match(line, /^SEARCH response USING (COVERING )?INDEX response_(waiting|place)/, sql);
  }
});

test('a claim asks as much beside ten thousand queued rows as beside one', () => {
  const asked = (): number => {
    let count = 0;
    const counting = {
      one: (sql: string, ...values: (string | number)[]) => {
        count += 1;
        return db.one(sql, ...values);
      },
      all: (sql: string, ...values: (string | number)[]) => {
        count += 1;
        return db.all(sql, ...values);
      },
      run: () => 0,
    };
    db.run('begin');
    takeTurns(counting as unknown as Database, 1, -1, (no) => {
      db.run("update response set status = 'in_progress' where no = ?", no);
    });
    db.run('rollback');
    return count;
  };
  const many = asked();
  db.execute("update response set status = 'completed' where project_id = 'a' and no > 1");
  assert.equal(asked(), many);
});
