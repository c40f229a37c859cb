import assert from 'node:assert/strict';
import { readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { diagnose } from '../../server/src/doctor.ts';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { call, create, otter, pollUntil } from '../contract/wire.ts';
import { began, follow, get, isNumber, startStream, streamUrl, wholeLog } from '../crash/clients.ts';
import type { Streaming } from '../crash/clients.ts';
import { Disk, HEALTHY } from '../support/disk/disk.ts';
import { isTerminal } from '../support/history.ts';
import { runHolt } from '../support/cli.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import type { Frame } from '../support/sse.ts';

/** `holt backup`: a copy of a server that serves is one that a server can be started on, with all that was said. */

const PATIENT = { first_token_ms: 0, interval_ms: 3 };

/** A conversation that makes the database so large that a backup of it takes a while. */
async function addBulk(holt: HoltProcess, items: number): Promise<string> {
  const { id } = await holt.client.conversations.create({});
  for (let item = 0; item < items; item += 1) {
    const content = `${item} `.padEnd(1_000_000, 'bulk ');
    await holt.client.conversations.items.create(id, { items: [{ type: 'message', role: 'user', content }] });
  }
  return id;
}

describe('while responses run', () => {
  let holt: HoltProcess;
  let place: string;
  before(async () => {
    holt = await spawnHolt();
    place = await temporaryDirectory();
  });
  after(() => holt.stop());

  test('chains, conversations and replays of the copy are those of the server', async () => {
    const bulk = await addBulk(holt, 8);
    const ended = await startStream(holt.url, { ...PATIENT, tokens: 30 }, began);
    assert.equal(await ended.end, 'closed');
    const running = await Promise.all(
      Array.from({ length: 6 }, () => startStream(holt.url, { ...PATIENT, tokens: 150 }, isNumber(8))),
    );
    const to = join(place, 'copy');
    const made = await runHolt(['backup', '--to', to, '--url', holt.url, '--data', holt.data]);
    assert.deepEqual(made, {
      code: 0,
      stdout: `A backup is in ${to}. Check it with: holt doctor --data ${to}\n`,
      stderr: '',
    });
    const judged = await runHolt(['doctor', '--data', to]);
    assert.equal(judged.code, 0, judged.stdout);
    assert.match(judged.stdout, /, 7 responses, .*, 1 conversations, 8 items in them/);

    for (const { end } of running) assert.equal(await end, 'closed', 'the server went on');
    const originals = new Map<string, Frame[]>();
    for (const { history } of [ended, ...running]) {
      originals.set(history.id, await wholeLog(holt.url, history.id));
    }
    await using restored = await spawnHolt({ data: to });
    for (const [id, original] of originals) {
      const replay = await wholeLog(restored.url, id);
      const snapshot = await get(restored.url, id);
      if (snapshot.status === 'completed') assert.deepEqual(texts(replay), texts(original), id);
      else assertBegins(replay, original, id);
    }
    const first = await (await fetch(streamUrl(restored.url, ended.history.id))).text();
    assert.equal(first, await (await fetch(streamUrl(holt.url, ended.history.id))).text());
    assert.deepEqual(await itemsOf(restored, bulk), await itemsOf(holt, bulk));
    const next = await create(restored, otter({}, { previous_response_id: ended.history.id, background: true }));
    assert.equal((await pollUntil(restored, next.id)).status, 'completed');
  });

  test('one that nobody waits for any more is given up', async () => {
    const to = join(place, 'left');
    const leave = new AbortController();
    const key = await readFile(join(holt.data, 'admin.key'), 'utf8');
    const asked = fetch(`${holt.url}/admin/v1/backup`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ to }),
      signal: leave.signal,
    });
    await until(async () => (await readdir(place)).includes('.left.holt-partial'));
    leave.abort();
    await assert.rejects(asked);
    await until(async () => !(await readdir(place)).includes('.left.holt-partial'));
    // Complete before the server saw that its client had gone, or not there.
    if (await isThere(to)) assert.deepEqual((await diagnose(to)).findings, []);
    const again = await runHolt(['backup', '--to', join(place, 'again'), '--url', holt.url, '--data', holt.data]);
    assert.equal(again.code, 0, again.stderr);
  });
});

function texts(log: Frame[]): string[] {
  return log.map(({ text }) => text);
}

/** What ran when the copy was made has the same beginning in both, and was ended by the start on the copy. */
function assertBegins(replay: Frame[], original: Frame[], id: string): void {
  assert.equal(replay.at(-1)?.event, 'response.failed', id);
  let same = 0;
  while (same < replay.length && replay[same]?.text === original[same]?.text) same += 1;
  assert.ok(same > 8, `${id}: only ${same} events are those that clients saw`);
  const closing = replay.slice(same).map(({ event }) => event);
  assert.ok(
    closing.every((event) => /\.(done|failed)$/.test(event)),
    closing.join(),
  );
}

async function itemsOf({ url }: HoltProcess, conversation: string): Promise<string> {
  return (await call('GET', `${url}/v1/conversations/${conversation}/items?limit=100`)).text;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** A name in a directory has nobody who announces it. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  const last = performance.now() + 20_000;
  while (!(await holds())) {
    assert.ok(performance.now() < last, 'it did not come in time');
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

test('verbs are answered while a copy is made, and what they did is in it', async () => {
  const data = await temporaryDirectory();
  const store = await SqliteStore.open(data);
  const conversation = (id: string): { id: string; createdAt: number; metadata: Record<string, string> } => ({
    id,
    createdAt: 0,
    metadata: {},
  });
  const text = 'x'.repeat(1_000_000);
  const item = (id: string): never => ({ id, type: 'message', role: 'user', content: text }) as never;
  for (let n = 0; n < 60; n += 1) await store.createConversation('default', conversation(`conv_${n}`), [item('msg_1')]);
  const file = join(data, 'copy.db');
  const state = { copied: false };
  const copy = store.copyTo(file, AbortSignal.timeout(60_000)).then(() => {
    state.copied = true;
  });
  let answered = 0;
  while (!state.copied) {
    await store.createConversation('default', conversation(`conv_during_${answered}`), []);
    answered += 1;
  }
  await copy;
  await store.close();
  assert.ok(answered >= 20, `${answered} verbs were answered`);

  const restored = await temporaryDirectory();
  await rename(file, join(restored, 'holt.db'));
  const { findings, summary } = await diagnose(restored);
  assert.deepEqual(findings, []);
  // The last ones were answered after the last step of the copy.
  const there = Number(/(\d+) conversations/.exec(summary)?.[1]) - 60;
  assert.ok(there > 0 && there <= answered, `${there} of ${answered}`);
  const copyStore = await SqliteStore.open(restored);
  for (let n = 0; n < answered; n += 1) {
    const found = await copyStore.findConversation('default', `conv_during_${n}`);
    assert.equal(found !== undefined, n < there, `the copy has the first ${there} and no other: ${n}`);
  }
  await copyStore.close();
  await rm(data, { recursive: true });
});

test('killed at any moment there is a sound backup or none, and the next one succeeds', async (t) => {
  const data = await temporaryDirectory();
  const place = await temporaryDirectory();
  let holt = await spawnHolt({ data });
  t.signal.addEventListener('abort', () => holt.process.kill('SIGKILL'));
  await addBulk(holt, 12);
  let whole = 0;
  // At the first byte of the copy, at some megabyte of it, and when it is whole.
  for (const [round, bytes] of [1, 3e6, 9e6, Infinity, Infinity].entries()) {
    const streams = await Promise.all(
      Array.from({ length: 4 }, () => startStream(holt.url, { ...PATIENT, tokens: 300 }, isNumber(5))),
    );
    const to = join(place, `round${round}`);
    const key = await readFile(join(data, 'admin.key'), 'utf8');
    const asked = fetch(`${holt.url}/admin/v1/backup`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify({ to }),
    }).then(
      ({ status }) => status,
      () => 0,
    );
    const draft = join(place, `.round${round}.holt-partial`, 'holt.db');
    await until(async () => (await isThere(to)) || (await sizeOf(draft)) >= bytes);
    await holt.kill();
    const status = await asked;
    await Promise.all(streams.map(({ end }) => end));
    if (status === 200) assert.ok(await isThere(to), 'what was acknowledged is there');
    if (await isThere(to)) {
      whole += 1;
      await checkCopy(to, streams);
    }
    holt = await spawnHolt({ data });
  }
  const last = await runHolt(['backup', '--to', join(place, 'round0'), '--url', holt.url, '--data', data]);
  assert.equal(last.code, 0, last.stderr);
  assert.deepEqual((await diagnose(join(place, 'round0'))).findings, []);
  await holt.kill();
  assert.deepEqual((await diagnose(data)).findings, []);
  assert.ok(whole >= 2 && whole < 5, `${whole} of 5 backups were whole`);
});

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}

/** It is sound, has what clients had seen before it was begun, and a start on it brings all to an end. */
async function checkCopy(to: string, streams: Streaming[]): Promise<void> {
  assert.deepEqual((await diagnose(to)).findings, []);
  const restored = await spawnHolt({ data: to });
  for (const { history } of streams) {
    const [witness] = history.witnesses;
    const seen = (witness?.seen ?? []).flatMap((one) => ('frame' in one ? [one.frame] : []));
    const replay: Frame[] = [];
    await follow(streamUrl(restored.url, history.id), undefined, { onFrame: (frame) => replay.push(frame) });
    assert.deepEqual(texts(replay).slice(0, 6), texts(seen).slice(0, 6), history.id);
    assert.ok(isTerminal(replay.at(-1)), history.id);
  }
  await restored.kill();
  assert.deepEqual((await diagnose(to)).findings, []);
}

test('a target without room is refused in words, leaves nothing behind, and the server goes on', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  const place = await temporaryDirectory();
  const to = join(place, 'copy');
  await disk.start(join(place, '.copy.holt-partial'));
  await addBulk(disk.holt, 4);
  const running = await startStream(disk.url, { ...PATIENT, tokens: 150 }, isNumber(8));
  const backup = ['backup', '--to', to, '--url', disk.url, '--data', disk.data];
  disk.set({ room: 2_000_000 });
  const refused = await runHolt(backup);
  assert.deepEqual([refused.code, refused.stdout], [1, '']);
  assert.match(refused.stderr, /^holt: The backup could not be made, and nothing is left of it: .*full.*\n$/);
  assert.ok(disk.get('faults') > 0);
  assert.deepEqual(await readdir(place), []);
  assert.equal(await running.end, 'closed', 'what ran has gone on');
  assert.equal((await fetch(`${disk.url}/readyz`)).status, 200);

  disk.set(HEALTHY);
  const made = await runHolt(backup);
  assert.equal(made.code, 0, made.stderr);
  assert.deepEqual((await diagnose(to)).findings, []);
});
