import assert from 'node:assert/strict';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { diagnose } from '../../server/src/doctor.ts';
import {
  EventReader,
  SILENT,
  assertError,
  create,
  get,
  otter,
  poll,
  pollUntil,
  remove,
  streamUrl,
} from '../contract/wire.ts';
import { runHolt } from '../support/cli.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import { copyOf, hashes } from './directory.ts';

/** Responses under zero data retention: what `holt doctor` says of them, and that they are in no backup. */

const ZDR = ['--retention', 'zero_data_retention'];
const SEALED = { background: true };

type Sealed = { data: string; ended: string; unfinished: string };
let sealed: Sealed;
before(async () => {
  const holt = await spawnHolt({ data: await temporaryDirectory(), flags: ZDR });
  const ended = await create(holt, otter({}, SEALED));
  const deleted = await create(holt, otter({}, SEALED));
  for (const { id } of [ended, deleted]) await pollUntil(holt, id);
  await remove(holt, deleted.id);
  const unfinished = await create(holt, otter(SILENT, SEALED));
  await holt.kill();
  sealed = { data: holt.data, ended: ended.id, unfinished: unfinished.id };
});
after(() => rm(sealed.data, { recursive: true }));

async function assertSound(data: string): Promise<void> {
  const before = await hashes(data);
  const { findings, summary } = await diagnose(data);
  assert.deepEqual(findings, []);
  assert.match(summary, / 2 sealed responses, whose content was not looked into$/);
  assert.deepEqual(await hashes(data), before);
}

async function keyFiles(data: string): Promise<string[]> {
  return (await readdir(join(data, 'zdr-keys'))).map((name) => join(data, 'zdr-keys', name));
}

test('sealed responses are sound, and their keys stay as they are', async () => {
  assert.equal((await keyFiles(sealed.data)).length, 1);
  await assertSound(sealed.data);
});

const LOSSES: Record<string, (data: string) => Promise<void>> = {
  destroyed: async (data) => {
    for (const file of await keyFiles(data)) await writeFile(file, Buffer.alloc((await readFile(file)).length));
  },
  gone: (data) => rm(join(data, 'zdr-keys'), { recursive: true }),
};
for (const [name, lose] of Object.entries(LOSSES)) {
  test(`so are those whose keys are ${name}, before the next start and after it`, async (t) => {
    const data = await copyOf(sealed.data);
    await lose(data);
    await assertSound(data);
    const holt = await spawnHolt({ data, flags: ZDR });
    t.after(() => holt.kill());
    assertError(await get(holt, `responses/${sealed.ended}`), 404);
    const { status, error } = await poll(holt, sealed.unfinished);
    assert.equal(status, 'failed');
    assert.match(error?.message ?? '', /key of this response is lost/);
    await holt.stop();
    const { findings, summary } = await diagnose(data);
    assert.deepEqual(findings, []);
    assert.match(summary, / 1 sealed responses/);
    await rm(data, { recursive: true });
  });
}

test('a backup has neither their keys nor the ballast, and a server on it serves all the others', async (t) => {
  const data = await copyOf(sealed.data);
  // What was sealed stays so when the mode is another, until its window is over.
  const holt = await spawnHolt({ data });
  t.after(() => holt.kill());
  const reader = await EventReader.create(holt, otter({}, { background: true }));
  const first = await reader.next();
  const other = first?.data['response'] as { id: string };
  for (let frame = first; frame !== undefined;) frame = await reader.next();
  assert.equal((await poll(holt, sealed.ended)).status, 'completed');
  const names = await readdir(data);
  assert.ok(names.includes('zdr-keys') && names.includes('ballast'), names.join());

  const to = join(await temporaryDirectory(), 'copy');
  const made = await runHolt(['backup', '--to', to, '--url', holt.url, '--data', data]);
  assert.equal(made.code, 0, made.stderr);
  assert.deepEqual((await readdir(to, { recursive: true })).toSorted(), ['holt.db', 'secret']);
  const keys = await Promise.all((await keyFiles(data)).map((file) => readFile(file)));
  const copied = await readFile(join(to, 'holt.db'));
  const used = keys.flatMap((bytes) => [0, 1, 2].map((slot) => bytes.subarray(slot * 32, slot * 32 + 32)));
  const live = used.filter((key) => key.some((byte) => byte !== 0));
  assert.ok(live.length >= 2, `${live.length} keys are in use`);
  for (const key of live) assert.ok(!copied.includes(key), 'a key is in the copy');
  assert.deepEqual((await diagnose(to)).findings, []);

  const restored = await spawnHolt({ data: to });
  t.after(() => restored.kill());
  assertError(await get(restored, `responses/${sealed.ended}`), 404);
  assertError(await get(restored, `responses/${sealed.ended}?stream=true`), 404);
  assert.equal((await poll(restored, sealed.unfinished)).status, 'failed');
  const [here, there] = await Promise.all(
    [restored, holt].map(async (server) => [
      await poll(server, other.id),
      await (await fetch(streamUrl(server, other.id))).text(),
    ]),
  );
  assert.deepEqual(here, there);
  assert.equal((await poll(holt, sealed.ended)).status, 'completed', 'the server still has what it had');
});
