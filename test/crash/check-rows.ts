import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Acknowledged } from './population.ts';

/** What only the rows of a database that nobody has open can say. */

type Row = { id: string; no: number; status: string; background: number; deleted_at: number | null };

/**
 * Nothing is stuck, each log has one end, nothing is left of what was deleted, and each end that webhooks should tell is
 * told once, as it was. Returns the ids of background responses that no client was told of.
 */
export function checkRows(data: string, acknowledged: readonly Acknowledged[]): string[] {
  const database = new DatabaseSync(join(data, 'holt.db'), { readOnly: true });
  try {
    assert.equal(database.prepare('pragma integrity_check').get()?.['integrity_check'], 'ok');
    const rows = database.prepare('select no, id, status, background, deleted_at from response').all() as Row[];
    const stuck = rows.filter(({ status }) => status === 'queued' || status === 'in_progress');
    assert.deepEqual(stuck, [], 'nobody works on what has not ended');
    checkEnds(database);
    checkDeliveries(database, acknowledged);
    checkForgotten(database, acknowledged);
    const known = new Set(acknowledged.map(({ history }) => history.id));
    const visible = new Set(rows.filter((row) => row.deleted_at === null).map(({ id }) => id));
    for (const { history, deleteSent } of acknowledged) {
      assert.ok(deleteSent || visible.has(history.id), `${history.id} was acknowledged and has no row`);
    }
    return rows
      .filter(({ id, background, deleted_at }) => background === 1 && deleted_at === null && !known.has(id))
      .map(({ id }) => id)
      .filter((id) => hasLog(database, id));
  } finally {
    database.close();
  }
}

function hasLog(database: DatabaseSync, id: string): boolean {
  return database.prepare('select 1 from response where id = ? and log_state in (1, 2)').get(id) !== undefined;
}

/** Of each log the last chunk is closed, and no other. */
function checkEnds(database: DatabaseSync): void {
  const wrong = database
    .prepare(
      `select response_no, count(*) filter (where closed = 1) as ends, max(n) filter (where closed = 1) as ended,
              max(n) as last
         from chunk group by response_no having ends <> 1 or ended <> last`,
    )
    .all();
  assert.deepEqual(wrong, [], 'each log has one end, which is its last chunk');
  const loose = database
    .prepare('select distinct response_no from chunk where response_no not in (select no from response)')
    .all();
  assert.deepEqual(loose, [], 'no chunk without its response');
  const keys = database
    .prepare('select key from idempotency where response_no not in (select no from response where deleted_at is null)')
    .all();
  assert.deepEqual(keys, [], 'no idempotency key without its response');
}

/** One event for each background response that has ended since there is an endpoint, with its status. */
function checkDeliveries(database: DatabaseSync, acknowledged: readonly Acknowledged[]): void {
  const wrong = database
    .prepare(
      `select r.id, r.status, count(distinct d.id || d.type) as told, min(d.type) as type
         from response r left join webhook_delivery d on d.response_no = r.no
        where r.background = 1 and r.deleted_at is null and r.created_at >= (select min(created_at) from webhook_endpoint)
        group by r.no having told <> 1 or type <> 'response.' || r.status`,
    )
    .all() as { id: string; status: string; told: number }[];
  // A cancel that was made for a delete is told to nobody; the process may have died between the two.
  const leaving = new Set(acknowledged.flatMap(({ deleteSent, history }) => (deleteSent ? [history.id] : [])));
  const unexplained = wrong.filter(
    ({ id, status, told }) => !(leaving.has(id) && status === 'cancelled' && told === 0),
  );
  assert.deepEqual(unexplained, [], 'a webhook for each end, which says what the response says');
}

/** The word that was in its input is in no row any more; those of the others are, so the search can find one. */
function checkForgotten(database: DatabaseSync, acknowledged: readonly Acknowledged[]): void {
  const texts = [
    'select request as text from response',
    'select history as text from response where history is not null',
    'select snapshot as text from response where snapshot is not null',
    'select body as text from chunk',
    'select payload as text from webhook_delivery',
  ].flatMap((sql) =>
    database
      .prepare(sql)
      .all()
      .map(({ text }) => asText(text)),
  );
  const all = texts.join('\n');
  const requests = texts.filter((text) => text.includes('"upstreamModel"'));
  for (const { history, create, mark, deleted, deleteSent } of acknowledged) {
    if (deleted) assert.ok(!all.includes(mark), `${history.id} was deleted, and its input is still in a row`);
    else if (!deleteSent) assert.ok(all.includes(mark), `the input of ${history.id} is nowhere`);
    if (!create.keyed || deleteSent) continue;
    assert.equal(requests.filter((text) => text.includes(mark)).length, 1, `${history.id} was made twice`);
  }
  const full = database
    .prepare(
      `select no from response where deleted_at is not null and (length(request) > 0 or snapshot is not null
         or history is not null or exists (select 1 from chunk where response_no = response.no and length(body) > 0)
         or exists (select 1 from response_item where response_no = response.no)
         or exists (select 1 from webhook_delivery where response_no = response.no))`,
    )
    .all();
  assert.deepEqual(full, [], 'what was deleted is empty');
}

function asText(value: unknown): string {
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : String(value);
}
