import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import type { Response } from '../../server/src/protocol/response.ts';
import { call, checkStreamed, get, isNumber, poll, post, request, startStream } from '../crash/clients.ts';
import { Disk } from '../support/disk/disk.ts';
import { History } from '../support/history.ts';
import { ROOT, spawnHolt } from '../support/holt.ts';

/** Time that stands still, and time that jumps. */

const HOUR_MS = 3_600_000;

async function create(base: string, scripted: Record<string, number>): Promise<Response> {
  const { status, body } = await call(`${base}/v1/responses`, post(request({ first_token_ms: 0, ...scripted })));
  assert.equal(status, 200, body);
  return JSON.parse(body) as Response;
}

test('an event loop that stands still for five seconds loses nothing, and streams go on', async () => {
  const stall = join(ROOT, 'test/support/stall.ts');
  await using holt = await spawnHolt({ env: { NODE_OPTIONS: `--import ${stall}` }, flags: ['--log-level', 'warn'] });
  const { url } = holt;
  const streams = await Promise.all(
    Array.from({ length: 10 }, () =>
      startStream(url, { tokens: 150, interval_ms: 20, first_token_ms: 0 }, isNumber(20)),
    ),
  );
  holt.process.kill('SIGUSR2');
  // Asked while it stands, answered when it goes on.
  const unwatched = await create(url, { tokens: 5, interval_ms: 0 });
  for (const { history, end } of streams) {
    assert.equal(await end, 'closed');
    assert.equal((await checkStreamed(url, history)).status, 'completed');
  }
  assert.equal((await poll(url, unwatched.id, new History('').witness())).status, 'completed');
  assert.equal((await call(`${url}/readyz`)).status, 200);
  // It would say that it had found strays, or that somebody was fenced.
  assert.equal(holt.errors(), '');
});

test('a wall clock that jumps an hour expires nothing early, and ids and times go on', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  const { url } = disk;
  const ended = await startStream(url, { tokens: 3, interval_ms: 0, first_token_ms: 0 }, isNumber(0));
  await ended.end;
  const running = await startStream(url, { tokens: 400, interval_ms: 10, first_token_ms: 0 }, isNumber(20));
  const ids = [ended.history.id, running.history.id];
  const times: number[] = [];
  for (const offset of [HOUR_MS, -HOUR_MS, 0]) {
    disk.set({ clockOffset: offset });
    const { id, created_at: at } = await create(url, { tokens: 1, interval_ms: 0 });
    ids.push(id);
    times.push(at);
    // The log of what has ended is kept for ten minutes.
    assert.equal((await checkStreamed(url, ended.history)).status, 'completed');
  }
  assert.deepEqual(ids, ids.toSorted());
  assert.ok(Math.max(...times) - Math.min(...times) < HOUR_MS / 1_000 / 2, times.join());
  assert.equal(await running.end, 'closed');
  await checkStreamed(url, running.history);
});

test('a server that starts an hour behind keeps what it has, and finishes what ran', async (t) => {
  await using disk = await Disk.make(t);
  if (disk === undefined) return;
  await disk.start();
  const ended = await startStream(disk.url, { tokens: 3, interval_ms: 0, first_token_ms: 0 }, isNumber(0));
  await ended.end;
  const running = await startStream(disk.url, { tokens: 400, interval_ms: 20, first_token_ms: 0 }, isNumber(20));
  await disk.holt.kill();
  await running.end;
  disk.set({ clockOffset: -HOUR_MS });
  await disk.start();
  await checkStreamed(disk.url, ended.history);
  assert.equal((await checkStreamed(disk.url, running.history)).status, 'failed');
  const { id } = await create(disk.url, { tokens: 1, interval_ms: 0 });
  assert.equal((await poll(disk.url, id, new History('').witness())).status, 'completed');
  assert.equal((await get(disk.url, ended.history.id)).status, 'completed');
});
