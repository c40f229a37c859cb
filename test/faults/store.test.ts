import assert from 'node:assert/strict';
import test from 'node:test';
import { StoreUnavailable } from '../../server/src/domain/ports.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import { call, post, request } from '../crash/clients.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';

/** What the rest of the server does while the store takes no new work, whatever store it is. */

class Faulty {
  failing = false;
  /** The verbs that fail. */
  refused = (_verb: string): boolean => true;
  /** Verbs that were asked for while it failed. */
  readonly asked: string[] = [];

  readonly wrap = (store: Store): Store =>
    new Proxy(store, {
      get: (target, key) => {
        const own: unknown = Reflect.get(target, key);
        if (typeof own !== 'function') return own;
        if (key === 'accepts') return () => !this.failing && target.accepts();
        return (...args: unknown[]): unknown => {
          if (!this.failing || key === 'close' || !this.refused(String(key))) return own.apply(target, args);
          this.asked.push(String(key));
          return Promise.reject(new StoreUnavailable('the disk is full'));
        };
      },
    });
}

test('while the store takes no new work, no upstream hears of a request that could not be kept', async () => {
  const faulty = new Faulty();
  await using upstream = await startUpstream();
  await using holt = await startHolt({ flags: ['--upstream', upstream.url], overrides: { wrapStore: faulty.wrap } });
  const url = `${holt.url}/v1/responses`;
  faulty.failing = true;
  for (const more of [{}, { stream: true }, { background: false }, { background: false, stream: true }]) {
    const { status, body } = await call(url, post({ model: 'm', input: 'x', background: true, ...more }));
    assert.equal(status, 503, body);
  }
  assert.deepEqual(await upstream.requests('m'), []);
  const unstored = await call(url, post({ model: 'm', input: 'x', store: false }));
  assert.equal(unstored.status, 200, 'what is not kept needs no store');
  faulty.failing = false;
  assert.equal((await call(url, post({ model: 'm', input: 'x', background: true }))).status, 200);
});

test('what waits in the queue is not begun while the store takes no new work, and is afterwards', async () => {
  const faulty = new Faulty();
  await using holt = await startHolt({
    configure: (config) => {
      config.worker.concurrency = 1;
    },
    overrides: { wrapStore: faulty.wrap },
  });
  const long = request({ first_token_ms: 3_600_000 });
  const first = await call(`${holt.url}/v1/responses`, post(long));
  const { id: runs } = JSON.parse(first.body) as { id: string };
  const second = await call(`${holt.url}/v1/responses`, post(request({ tokens: 1, first_token_ms: 0 })));
  const { id: waits } = JSON.parse(second.body) as { id: string };
  // As on a full disk: what runs can be ended, and leaves its slot.
  faulty.refused = (verb) => verb === 'claim';
  faulty.failing = true;
  assert.equal((await call(`${holt.url}/v1/responses/${runs}/cancel`, { method: 'POST' })).status, 200);
  assert.equal((await holt.client.responses.retrieve(waits)).status, 'queued');
  assert.deepEqual(faulty.asked, []);
  faulty.failing = false;
  await holt.client.responses.retrieve(waits).then(async function again(response): Promise<void> {
    if (response.status !== 'completed') await again(await holt.client.responses.retrieve(waits));
  });
});

test('readiness is asked of the store itself, once a second at most, and a store that is silent is not ready', async () => {
  const clock = new FakeClock();
  let probes = 0;
  let answer: Promise<void> = Promise.resolve();
  const holt = await startHolt({
    overrides: {
      clock,
      wrapStore: (store) =>
        Object.assign(Object.create(store) as Store, {
          probe: () => {
            probes += 1;
            return answer;
          },
          close: () => store.close(),
        }),
    },
  });
  const readyz = async (): Promise<number> => (await call(`${holt.url}/readyz`)).status;
  assert.deepEqual([await readyz(), await readyz(), probes], [200, 200, 1]);
  answer = Promise.reject(new StoreUnavailable('the disk is full'));
  answer.catch(() => undefined);
  clock.advance(1_000);
  assert.deepEqual([await readyz(), await readyz(), probes], [503, 503, 2]);
  answer = new Promise<void>(() => {});
  clock.advance(1_000);
  const silent = readyz();
  await clock.waitForTimer(2_000);
  clock.advance(2_000);
  assert.equal(await silent, 503);
  assert.equal((await call(`${holt.url}/healthz`)).status, 200);
  const stopped = holt.stop();
  await clock.waitForTimer(100);
  clock.advance(100);
  await stopped;
});
