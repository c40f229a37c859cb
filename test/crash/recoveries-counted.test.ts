import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { EventReader, SILENT, create, idIn, otter } from '../contract/wire.ts';
import type { Served } from '../contract/wire.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import { Scrape } from '../support/prometheus.ts';

/** What a dead process left is counted by what was done with it. */

/** A background response that has said something, and says no more. */
async function createHalf(holt: Served): Promise<string> {
  const reader = await EventReader.create(holt, otter({ interval_ms: 3_600_000 }, { background: true }));
  const frames = await reader.take(({ event }) => event === 'response.output_text.delta');
  reader.leave();
  return idIn(frames[0]);
}

test('recoveries are counted by policy', async () => {
  const data = await temporaryDirectory();
  const policies = ['cancel', 'rerun', 'fail', 'damaged'] as const;
  const counts = (scrape: Scrape): unknown[] =>
    policies.map((policy) => scrape.value(`holt_recoveries_total{policy="${policy}"}`));
  {
    await using holt = await spawnHolt({ data });
    assert.deepEqual(counts(await Scrape.of(holt)), [0, 0, 0, 0]);
    await create(holt, otter(SILENT, { background: true }));
    await create(holt, otter(SILENT, { background: true }));
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.push(await createHalf(holt));
    await holt.kill();
    const db = new DatabaseSync(join(data, 'holt.db'));
    // As a cancel leaves it whose process died between its two appends.
    db.prepare('update response set cancel_requested_at = created_at where id = ?').run(ids[0] ?? '');
    db.prepare(
      "update chunk set body = x'ff' where n = 0 and response_no = (select no from response where id = ?)",
    ).run(ids[1] ?? '');
    db.close();
  }
  await using holt = await spawnHolt({ data });
  const after = await Scrape.until(holt, (scrape) => scrape.series('holt_responses_ended').length === 2, 'the ends');
  assert.deepEqual(counts(after), [1, 2, 3, 1]);
  assert.equal(after.value('holt_responses_ended_total{kind="background",model="otter",status="cancelled"}'), 1);
  await holt.kill(); // a stop would wait for those that run again
  await rm(data, { recursive: true });
});
