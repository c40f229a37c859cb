import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import { History } from '../support/history.ts';
import { ServerGone, began, call, checkStreamed, get, isNumber, poll, post, request, startStream } from './clients.ts';
import { Machine } from './machine.ts';

/** A graceful stop, and starts that have to be refused. */

const TIMEOUT = { timeout: 60_000 };

describe('stops and starts', { concurrency: 2 }, () => {
  test(
    'SIGTERM: what runs may end within worker.drain, new work is refused, what waits stays',
    TIMEOUT,
    async ({ signal }) => {
      await using machine = await Machine.start(signal, { worker: { concurrency: 2, drain: '30s' } });
      const { url } = machine;
      const first = await startStream(url, { tokens: 120, first_token_ms: 0, interval_ms: 40 }, isNumber(10));
      const second = await startStream(url, { tokens: 3, first_token_ms: 4_500 }, began);
      const queued = await startStream(url, { tokens: 3, first_token_ms: 0 }, isNumber(1));
      const exited = machine.terminate();
      let refused = await call(`${url}/v1/responses`, post(request({ tokens: 1 }, { background: false })));
      // The signal needs a moment to arrive; until then a request finds no slot, or finds one.
      while (refused.status !== 503) refused = await call(`${url}/v1/responses`, post(request({ tokens: 1 })));
      assert.match(refused.body, /"type":"(server_error|service_unavailable_error)"/);

      for (const { end, history } of [first, second]) {
        assert.equal(await end, 'closed');
        assert.ok(history.ended);
      }
      assert.ok((await queued.end) instanceof ServerGone, 'the stream of what has not ended is cut');
      assert.equal(await exited, 0);

      await machine.start();
      for (const { history } of [first, second, queued]) {
        assert.equal((await checkStreamed(machine.url, history)).status, 'completed');
      }
    },
  );

  test(
    'SIGTERM: what does not end within worker.drain is handed back, and its stream cut',
    TIMEOUT,
    async ({ signal }) => {
      await using machine = await Machine.start(signal, { worker: { drain: '50ms' } });
      const shown = await startStream(machine.url, { tokens: 100_000, first_token_ms: 0 }, isNumber(10));
      const silent = await startStream(machine.url, { tokens: 3, first_token_ms: 2_500 }, began);
      // More often than attempts are allowed: a stop is nobody's fault.
      for (let stops = 0; stops < 4; stops += 1) {
        assert.equal(await machine.terminate(), 0);
        await machine.start();
        assert.equal((await get(machine.url, silent.history.id)).status, 'in_progress');
      }
      assert.ok((await shown.end) instanceof ServerGone);
      assert.ok((await silent.end) instanceof ServerGone);
      const failed = await checkStreamed(machine.url, shown.history);
      assert.equal(failed.status, 'failed');
      assert.equal(failed.error?.code, 'server_error');
      assert.equal(failed.output[0]?.status, 'incomplete');
      assert.equal((await checkStreamed(machine.url, silent.history)).status, 'completed');
    },
  );

  test('a second server on the same directory waits, then refuses and names it', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal);
    const running = await startStream(machine.url, { tokens: 100_000, first_token_ms: 0 }, isNumber(5));
    await assert.rejects(spawnHolt({ data: machine.data }), (error: Error) => {
      assert.match(error.message, /holt exited with 1: /);
      assert.ok(error.message.includes(machine.data), error.message);
      assert.match(error.message, /in use/);
      return true;
    });
    // The first has not noticed.
    const { status } = await call(`${machine.url}/v1/responses/${running.history.id}/cancel`, { method: 'POST' });
    assert.equal(status, 200);
    assert.equal(await running.end, 'closed');
  });

  test('a second server takes over when the first is killed while it waits', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal);
    const { history } = await startStream(machine.url, { tokens: 3, first_token_ms: 4_000 }, began);
    const second = machine.start();
    await machine.kill();
    await second;
    assert.equal((await checkStreamed(machine.url, history)).status, 'completed');
  });

  for (const [what, damage] of [
    ['is no database', () => Buffer.from('this is no database at all, '.repeat(400))],
    ['was cut short', (good: Buffer) => good.subarray(0, good.length / 2)],
    [
      'has a damaged page with its tables',
      (good: Buffer) => Buffer.concat([good.subarray(0, 100), Buffer.alloc(3_996, 0x7f), good.subarray(4_096)]),
    ],
  ] as const) {
    test(`a start is refused when the file ${what}, and the file stays as it is`, TIMEOUT, async ({ signal }) => {
      await using machine = await Machine.start(signal);
      const created = await call(`${machine.url}/v1/responses`, post(request({ tokens: 1, first_token_ms: 0 })));
      const { id } = JSON.parse(created.body) as { id: string };
      await poll(machine.url, id, new History(id).witness());
      assert.equal(await machine.terminate(), 0);

      const file = join(machine.data, 'holt.db');
      const damaged = damage(await readFile(file));
      await writeFile(file, damaged);
      await assert.rejects(machine.start(), (error: Error) => {
        assert.match(error.message, /holt exited with 1: holt: /);
        assert.ok(error.message.includes(machine.data), error.message);
        return true;
      });
      assert.deepEqual(await readFile(file), damaged);
    });
  }

  test('a start is refused when the data directory is a file', TIMEOUT, async () => {
    const directory = await temporaryDirectory();
    const data = join(directory, 'data');
    await writeFile(data, 'not a directory');
    await assert.rejects(spawnHolt({ data }), /holt exited with 1: holt: /);
    await rm(directory, { recursive: true });
  });
});
