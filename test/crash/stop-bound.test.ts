import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { FakeClock } from '../support/clock.ts';
import { spawnHolt, startHolt } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import {
  ServerGone,
  call,
  checkStreamed,
  follow,
  get,
  isNumber,
  post,
  request,
  startStream,
  urlOf,
} from './clients.ts';
import { Machine } from './machine.ts';

/** What a graceful stop says meanwhile, and that it is bounded (design.md §8). */

const TIMEOUT = { timeout: 60_000 };
const ENDLESS = { tokens: 100_000, first_token_ms: 0, interval_ms: 5 };

/** Resolves when the server says that it has begun to stop. */
async function stopBegun({ process }: HoltProcess): Promise<void> {
  if (process.stdout === null) throw new Error('nobody hears what it says');
  for await (const line of createInterface({ input: process.stdout })) if (line.startsWith('Stopping')) return;
}

describe('a stop', { concurrency: 2 }, () => {
  test('while it drains, new work is refused; then streams of both kinds are cut', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal, { worker: { drain: '2s' } });
    const { url } = machine;
    const background = await startStream(url, ENDLESS, isNumber(10));
    const streaming = Promise.withResolvers<void>();
    let foregroundId = '';
    const body = request(ENDLESS, { background: false, stream: true });
    const foreground = follow(`${url}/v1/responses`, post(body), {
      onId: (id) => (foregroundId = id),
      onFrame: ({ data }) => data.sequence_number === 10 && streaming.resolve(),
    });
    await streaming.promise;
    const waiting = fetch(`${url}/v1/responses`, post(request(ENDLESS, { background: false })));
    await get(url, background.history.id); // answered after it
    const begun = stopBegun(machine.holt);
    const exited = machine.terminate();
    await begun;

    for (const more of [{}, { stream: true }, { background: false }, { background: false, stream: true }]) {
      const refused = await fetch(`${url}/v1/responses`, post(request(ENDLESS, more)));
      assert.equal(refused.status, 503, JSON.stringify(more));
      assert.equal(refused.headers.get('x-should-retry'), 'true');
      assert.match(await refused.text(), /"code":"server_is_overloaded"/);
    }
    assert.equal((await fetch(`${url}/readyz`)).status, 503);
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
    assert.equal((await get(url, background.history.id)).status, 'in_progress', 'what runs can be asked for');

    assert.ok((await background.end) instanceof ServerGone);
    assert.ok((await foreground) instanceof ServerGone);
    assert.equal((await waiting).status, 503, 'who waits for the whole answer is told');
    assert.equal(await exited, 0);
    await machine.start();
    assert.equal((await checkStreamed(machine.url, background.history)).status, 'failed');
    assert.equal((await call(urlOf(machine.url, foregroundId))).status, 404);
  });

  test('a second SIGTERM ends it at once, and nothing that was shown is lost', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal, { worker: { drain: '1h' } });
    const { history, end } = await startStream(machine.url, ENDLESS, isNumber(10));
    const begun = stopBegun(machine.holt);
    const first = machine.terminate();
    await begun;
    assert.equal(await machine.terminate(), 1);
    assert.equal(await first, 1);
    assert.ok((await end) instanceof ServerGone);
    await machine.start();
    assert.equal((await checkStreamed(machine.url, history)).status, 'failed');
  });

  test('a store that hangs and an upstream that never lets go do not hold it up', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal, { worker: { drain: '100ms' } });
    assert.equal(await machine.terminate(), 0);
    const program = new URL('programs/stuck.ts', import.meta.url).pathname;
    const stuck = await spawnHolt({ data: machine.data, program, flags: ['--config', `${machine.data}/holt.yaml`] });
    const { history, end } = await startStream(stuck.url, ENDLESS, isNumber(10));
    const exited = once(stuck.process, 'exit');
    stuck.process.kill('SIGTERM');
    assert.deepEqual(await exited, [1, null]);
    assert.match(stuck.errors(), /does not answer/);
    assert.ok((await end) instanceof ServerGone);
    await machine.start();
    assert.equal((await checkStreamed(machine.url, history)).status, 'failed');
  });
});

test('a server whose clock is a test of its own stops with work that runs', async () => {
  const holt = await startHolt({ overrides: { clock: new FakeClock() } });
  const slow = { 'scripted.first_token_ms': '3600000' };
  await holt.client.responses.create({ model: 'otter', input: 'x', background: true, metadata: slow });
  await holt.stop();
});
