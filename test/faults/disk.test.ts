import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'node:test';
import type { Response } from '../../server/src/protocol/response.ts';
import { call, checkStreamed, get, isNumber, poll, post, request, startStream, urlOf } from '../crash/clients.ts';
import type { Streaming } from '../crash/clients.ts';
import { Disk, FAULTS, HEALTHY, SPOILING, UNREADABLE } from '../support/disk/disk.ts';
import { History } from '../support/history.ts';

/** A server on a disk that is full, fails or is slow (design.md §2: nothing acknowledged is lost, nothing is stuck). */

const SECONDS = { tokens: 500, interval_ms: 5, first_token_ms: 0 };
const SHORT = { tokens: 3, interval_ms: 0, first_token_ms: 0 };

async function assertRefused(url: string, body: object): Promise<void> {
  const answer = await fetch(url, post(body));
  const { error } = (await answer.json()) as { error: { code: string } };
  assert.equal(answer.status, 503);
  assert.equal(error.code, 'store_unavailable');
  assert.equal(answer.headers.get('x-should-retry'), 'true');
  assert.equal(answer.headers.get('retry-after'), '5');
}

async function assertNoNewWork(base: string): Promise<void> {
  await assertRefused(`${base}/v1/responses`, request(SHORT));
  await assertRefused(`${base}/v1/responses`, request(SHORT, { stream: true }));
  await assertRefused(`${base}/v1/responses`, request(SHORT, { background: false }));
  await assertRefused(`${base}/v1/conversations`, {});
  assert.equal((await call(`${base}/readyz`)).status, 503);
  assert.equal((await call(`${base}/healthz`)).status, 200);
}

async function createAndEnd(base: string): Promise<Response> {
  const { status, body } = await call(`${base}/v1/responses`, post(request(SHORT)));
  assert.equal(status, 200, body);
  return poll(base, (JSON.parse(body) as Response).id, new History('').witness());
}

/** Asks until the answer is yes; the time of the test bounds it. */
async function untilReady(base: string): Promise<void> {
  while ((await call(`${base}/readyz`)).status !== 200) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Its reader saw no end but the right one, and what it saw is what is stored. */
async function assertWhole(base: string, { history, end }: Streaming): Promise<void> {
  assert.equal(await end, 'closed');
  assert.equal((await checkStreamed(base, history)).status, 'completed');
}

test('while writes or syncs fail, creates are refused and what runs waits; all goes on when it is over', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  const { url } = disk;
  const before = await createAndEnd(url);
  const keyed = async (): Promise<string> => {
    const { status, body } = await call(`${url}/v1/responses`, post(request(SHORT), { 'idempotency-key': 'once' }));
    assert.equal(status, 200, body);
    return (JSON.parse(body) as Response).id;
  };
  const once = await keyed();
  const survivors: History[] = [];
  for (const fault of Object.values(FAULTS)) {
    const streams = await Promise.all([1, 2, 3].map(() => startStream(url, SECONDS, isNumber(30))));
    disk.set(fault);
    await disk.refused(3);
    await assertNoNewWork(url);
    for (const { history } of streams) {
      const polled = await get(url, history.id);
      assert.equal(polled.status, 'in_progress');
      history.witness().snapshot(polled);
    }
    assert.deepEqual(await get(url, before.id), before);
    assert.equal(await keyed(), once, 'a create that is sent again makes nothing');

    disk.set(HEALTHY);
    await untilReady(url);
    await createAndEnd(url);
    for (const stream of streams) await assertWhole(url, stream);
    survivors.push(...streams.map(({ history }) => history));
  }
  await disk.cutPower();
  await disk.start();
  for (const history of survivors) await checkStreamed(disk.url, history);
  assert.deepEqual(await get(disk.url, before.id), before);
});

test('on a disk without room what runs ends in the room of the ballast, and new work waits for new room', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  const { url } = disk;
  const ballast = join(disk.data, 'ballast');
  const { size } = statSync(ballast);
  const streams = await Promise.all(
    [1, 2, 3].map(() => startStream(url, { ...SECONDS, tokens: 300, interval_ms: 10 }, isNumber(9))),
  );
  const endless = await startStream(url, { ...SECONDS, tokens: 100_000, interval_ms: 20 }, isNumber(9));

  disk.set({ room: 0 });
  let status = 200;
  for (let made = 0; status === 200; made += 1) {
    assert.ok(made < 100, 'a disk without room takes more than the log of the database has room for');
    const body = request(SHORT, { input: 'x'.repeat(200_000) });
    ({ status } = await call(`${url}/v1/responses`, post(body)));
  }
  assert.equal(status, 503);
  assert.ok(!existsSync(ballast), 'the ballast was not given up');
  await assertNoNewWork(url);
  for (const stream of streams) await assertWhole(url, stream);
  const cancelled = await call(`${urlOf(url, endless.history.id)}/cancel`, { method: 'POST' });
  assert.equal(cancelled.status, 200, cancelled.body);
  await assertNoNewWork(url);

  disk.set(HEALTHY);
  await untilReady(url);
  assert.equal(statSync(ballast).size, size);
  await createAndEnd(url);
});

test('a server starts on a full disk, serves what is stored, and takes work when there is room', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  const stored = await createAndEnd(disk.url);
  await disk.holt.kill();
  await rm(join(disk.data, 'ballast'));
  disk.set({ room: 0 });
  await disk.start();
  await assertNoNewWork(disk.url);
  assert.deepEqual(await get(disk.url, stored.id), stored);
  disk.set(HEALTHY);
  await untilReady(disk.url);
  await createAndEnd(disk.url);
});

test('what can not be read is a 503, and can be read when it is over', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  const created = await call(`${disk.url}/v1/responses`, post(request(SHORT, { input: 'x'.repeat(200_000) })));
  const { id } = JSON.parse(created.body) as Response;
  await poll(disk.url, id, new History('').witness());
  const stored = await call(`${urlOf(disk.url, id)}/input_items`);
  // The next process has not read it yet.
  await disk.holt.kill();
  await disk.start();
  const running = await startStream(disk.url, SECONDS, isNumber(0));
  disk.set(UNREADABLE);
  assert.equal((await call(`${urlOf(disk.url, id)}/input_items`)).status, 503);
  disk.set(HEALTHY);
  assert.deepEqual(await call(`${urlOf(disk.url, id)}/input_items`), stored);
  await assertWhole(disk.url, running);
});

test('a server on a disk that fails can be stopped, and the next one ends what ran', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  const streams = await Promise.all([1, 2].map(() => startStream(disk.url, SECONDS, isNumber(30))));
  disk.set(FAULTS['an error of every write']);
  await disk.refused(2);
  assert.equal(await disk.terminate(), 0);
  disk.set(HEALTHY);
  await disk.start();
  for (const { history, end } of streams) {
    assert.notEqual(await end, 'closed', 'a stream without its end was closed as if it were whole');
    assert.equal((await checkStreamed(disk.url, history)).status, 'failed');
  }
});

test('syncs of 200 ms are shared by all that run, and change nothing else', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  disk.set({ syncDelay: 200 });
  const before = disk.get('syncs');
  const streams = await Promise.all(
    Array.from({ length: 20 }, () => startStream(disk.url, { ...SECONDS, tokens: 60 }, isNumber(0))),
  );
  for (const { end } of streams) assert.equal(await end, 'closed');
  const syncs = disk.get('syncs') - before;
  // Each response has at least a create, a first token and an end to commit.
  assert.ok(syncs < streams.length * 3, `${syncs} syncs for ${streams.length} responses`);
  assert.equal((await call(`${disk.url}/readyz`)).status, 200);
  await disk.cutPower();
  disk.set(HEALTHY);
  await disk.start();
  for (const { history } of streams) assert.equal((await checkStreamed(disk.url, history)).status, 'completed');
});

test('after a failed sync nothing is built on the sectors that it may have ruined', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  const before = await createAndEnd(disk.url);
  disk.set(SPOILING);
  await assertRefused(`${disk.url}/v1/responses`, request(SHORT));
  disk.set(HEALTHY);
  await untilReady(disk.url);
  const later = await createAndEnd(disk.url);
  await disk.cutPower();
  await disk.start();
  for (const acknowledged of [before, later]) {
    assert.deepEqual(await get(disk.url, acknowledged.id), acknowledged);
  }
});

test('what a start replays is on the disk before anything is built on it, though its sync had failed', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  // The first commit after a start syncs the head of the log before it writes the rest.
  await createAndEnd(disk.url);
  disk.set(FAULTS['an error of every sync']);
  await assertRefused(`${disk.url}/v1/responses`, request(SHORT));
  // No power cut: what could not be synced is still in the memory of the kernel, and the next process reads it there.
  await disk.holt.kill();
  disk.set({ ...HEALTHY, lastSync: 2 });
  await assert.rejects(disk.start(), /exited/);
  await disk.loseUnsynced();
  const database = new DatabaseSync(join(disk.data, 'holt.db'));
  assert.equal(database.prepare('select count(*) as count from response').get()?.['count'], 2);
  assert.equal(database.prepare('pragma integrity_check').get()?.['integrity_check'], 'ok');
  database.close();
});
