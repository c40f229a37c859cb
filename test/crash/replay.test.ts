import assert from 'node:assert/strict';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { streamText } from '../support/sse.ts';
import { call, checkGone, post, request, streamUrl, urlOf } from './clients.ts';
import { Machine } from './machine.ts';

/** What has ended stays as it is, byte for byte, whatever happens to the process (promise 1). */

const TIMEOUT = { timeout: 60_000 };
const LOOK_UP = { type: 'function', name: 'look_up', parameters: { type: 'object', properties: {} } };

/** Ended responses of every kind: their ids, streams and snapshots. */
async function endSome(url: string): Promise<{ id: string; stream: string; snapshot: string }[]> {
  const bodies = [
    request({ tokens: 60, interval_ms: 1, reasoning_tokens: 5 }),
    request({ tokens: 900, interval_ms: 0, first_token_ms: 0 }),
    request({ tokens: 5, tool_call: 'look_up' }, { tools: [LOOK_UP] }),
    request({ tokens: 50, interval_ms: 1, fail_after: 20 }),
    request({ tokens: 50, interval_ms: 1 }, { max_output_tokens: 16 }),
  ];
  return Promise.all(
    bodies.map(async (body) => {
      const stream = await streamText(`${url}/v1/responses`, post({ ...body, stream: true }));
      const id = /"id":"(resp_\w+)"/.exec(stream)?.[1] ?? '';
      return { id, stream, snapshot: (await call(urlOf(url, id))).body };
    }),
  );
}

async function checkAll(url: string, ended: Awaited<ReturnType<typeof endSome>>): Promise<void> {
  for (const { id, stream, snapshot } of ended) {
    assert.equal(await streamText(streamUrl(url, id)), stream);
    assert.equal((await call(urlOf(url, id))).body, snapshot);
    const cut = stream.indexOf('\n\n', stream.length / 2) + 2;
    const cursor = stream.slice(0, cut).split('\n\n').length - 2;
    assert.equal(await streamText(streamUrl(url, id, cursor)), stream.slice(cut));
    // Ended is ended: a cancel changes nothing.
    assert.equal((await call(`${urlOf(url, id)}/cancel`, { method: 'POST' })).body, snapshot);
  }
}

/** 1: ended, its small chunks not merged yet; 2: merged. Read from a copy, so that the next server recovers the WAL. */
async function logStates(data: string): Promise<number[]> {
  const copy = await mkdtemp(join(tmpdir(), 'holt-copy-'));
  try {
    await cp(data, copy, { recursive: true });
    const db = new DatabaseSync(join(copy, 'holt.db'));
    const rows = db.prepare('select distinct log_state from response').all();
    db.close();
    return rows.map((row) => Number(row['log_state']));
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

describe('what has ended', { concurrency: 2 }, () => {
  test('an ended response replays byte for byte after kill -9, compacted or not', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal);
    let ended = await endSome(machine.url);
    await machine.kill();
    // Compaction comes within a second; a slow machine may need another try to be killed before it.
    while (!(await logStates(machine.data)).includes(1)) {
      await machine.start();
      ended = await endSome(machine.url);
      await machine.kill();
    }
    await machine.start();
    await checkAll(machine.url, ended);

    await machine.kill();
    await machine.withStore(async (store) => {
      while ((await store.compact(10)) > 0);
    });
    assert.deepEqual(await logStates(machine.data), [2]);
    await machine.start();
    await checkAll(machine.url, ended);
    await machine.restart();
    await checkAll(machine.url, ended);
  });

  test('a stored synchronous response is there after kill -9', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal);
    const body = request({ tokens: 10, interval_ms: 1 }, { background: false });
    const answer = await call(`${machine.url}/v1/responses`, post(body));
    const { id } = JSON.parse(answer.body) as { id: string };
    await machine.restart();
    assert.deepEqual(JSON.parse((await call(urlOf(machine.url, id))).body), JSON.parse(answer.body));
  });

  test(
    'a deleted response stays deleted after kill -9, and one of an earlier process can be deleted',
    TIMEOUT,
    async ({ signal }) => {
      await using machine = await Machine.start(signal);
      const [first, second, third] = await endSome(machine.url);
      assert.ok(first !== undefined && second !== undefined && third !== undefined);
      const running = await call(`${machine.url}/v1/responses`, post(request({ tokens: 100_000 }, { stream: false })));
      const { id: unfinished } = JSON.parse(running.body) as { id: string };
      for (const id of [first.id, unfinished]) await remove(machine.url, id);
      await machine.restart();
      await checkGone(machine.url, first.id);
      await checkGone(machine.url, unfinished);

      await remove(machine.url, second.id);
      await machine.restart();
      for (const id of [first.id, second.id, unfinished]) await checkGone(machine.url, id);
      assert.equal(await streamText(streamUrl(machine.url, third.id)), third.stream);
    },
  );
});

async function remove(base: string, id: string): Promise<void> {
  const { status, body } = await call(urlOf(base, id), { method: 'DELETE' });
  assert.equal(status, 200, body);
  assert.deepEqual(JSON.parse(body), { id, object: 'response', deleted: true });
}
