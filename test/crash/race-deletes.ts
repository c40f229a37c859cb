import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import { Random } from '../support/random.ts';
import { call, checkGone, follow, post, request, urlOf } from './clients.ts';

/** Races at once. */
const WIDTH = 8;

/**
 * A DELETE against the owner that runs the response, at another moment each time, with readers that read and polls that
 * go on: no verb ever knows it again, and at the end nothing of its text is in the rows. Returns how many had been
 * shown text when they were deleted, and how many had ended.
 */
export async function raceDeletes(races: number, seed = 1): Promise<Map<string, number>> {
  const random = new Random(seed);
  const data = await temporaryDirectory();
  const holt = await startHolt({ data });
  const deleted: string[] = [];
  const marks: string[] = [];
  const counts = new Map<string, number>();
  const race = async (index: number): Promise<void> => {
    const at = random.below(30);
    const mark = `delete-race-${seed}-${index}-`;
    const scripted = { tokens: 12, first_token_ms: random.below(3), interval_ms: random.below(2) };
    const body = request(scripted, { stream: true, input: `Tell me about ${mark}.` });
    const reached = Promise.withResolvers<string>();
    let id = '';
    let shown = 'before its text';
    const end = follow(`${holt.url}/v1/responses`, post(body), {
      onId: (own) => (id = own),
      onFrame: ({ event, data }) => {
        if (event === 'response.output_text.delta') shown = 'amid its text';
        if (event === 'response.completed') shown = 'after its end';
        if (data.sequence_number === at) reached.resolve(shown);
      },
    });
    const when = await Promise.race([reached.promise, end.then(() => 'after its end')]);
    const polling = pollUntilGone(holt.url, id);
    const { status, body: answer } = await call(urlOf(holt.url, id), { method: 'DELETE' });
    assert.equal(status, 200, answer);
    await checkGone(holt.url, id);
    await polling;
    await end;
    deleted.push(id);
    marks.push(mark);
    counts.set(when, (counts.get(when) ?? 0) + 1);
  };
  for (let done = 0; done < races; done += WIDTH) {
    await Promise.all(Array.from({ length: Math.min(WIDTH, races - done) }, (_, index) => race(done + index)));
  }
  // Whatever an owner that did not hear of it would still write has been written by now: nothing runs any more.
  for (const id of deleted) await checkGone(holt.url, id);
  await holt.stop();
  checkNoTextLeft(data, marks, races);
  return counts;
}

/** Once it is gone it stays gone. */
async function pollUntilGone(url: string, id: string): Promise<void> {
  let gone = false;
  for (let after = 0; after < 3;) {
    const { status } = await call(urlOf(url, id));
    assert.ok(status === 404 || (status === 200 && !gone), `${id} is back after its deletion: ${status}`);
    gone = status === 404;
    if (gone) after += 1;
    await sleep(1);
  }
}

function checkNoTextLeft(data: string, marks: readonly string[], races: number): void {
  const database = new DatabaseSync(join(data, 'holt.db'), { readOnly: true });
  try {
    const rows = database
      .prepare(
        'select length(request) + ifnull(length(snapshot), 0) + ifnull(length(history), 0) as left from response',
      )
      .all();
    // Tombstones are purged two lease periods later: of a long run the first are gone.
    assert.ok(rows.length > 0 && rows.length <= races, `${rows.length} rows`);
    assert.ok(
      rows.every(({ left }) => left === 0),
      'a deleted row is empty',
    );
    assert.equal(database.prepare('select count(*) as full from chunk where length(body) > 0').get()?.['full'], 0);
    const tables = database.prepare("select name from sqlite_schema where type = 'table'").all();
    for (const { name } of tables) {
      const text = JSON.stringify(database.prepare(`select * from "${String(name)}"`).all(), (_, value: unknown) =>
        value instanceof Uint8Array ? new TextDecoder().decode(value) : value,
      );
      for (const mark of marks) assert.ok(!text.includes(mark), `${mark} is still in ${String(name)}`);
    }
  } finally {
    database.close();
  }
}
