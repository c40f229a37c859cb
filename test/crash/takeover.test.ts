import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Response } from '../../server/src/protocol/response.ts';
import { History } from '../support/history.ts';
import {
  ServerGone,
  began,
  call,
  checkStreamed,
  follow,
  get,
  isNumber,
  poll,
  post,
  request,
  startStream,
  streamUrl,
  urlOf,
  wholeLog,
} from './clients.ts';
import { Machine } from './machine.ts';

/** What the next process makes of a response that was unfinished when its server was killed (design.md §8). */

const TIMEOUT = { timeout: 60_000 };
const ENDLESS = 100_000;

function create(url: string, scripted: Record<string, string | number>): Promise<Response> {
  return call(`${url}/v1/responses`, post(request(scripted))).then(({ status, body }) => {
    assert.equal(status, 200, body);
    return JSON.parse(body) as Response;
  });
}

describe('what was unfinished', { concurrency: 2 }, () => {
  test(
    'nothing but in_progress was logged: it runs again, and nobody can tell (policy 0)',
    TIMEOUT,
    async ({ signal }) => {
      await using machine = await Machine.start(signal);
      const script = { tokens: 20, first_token_ms: 4_000, interval_ms: 1 };
      const { history, end } = await startStream(machine.url, script, began);
      const unstreamed = await create(machine.url, script);
      await machine.restart();
      assert.ok((await end) instanceof ServerGone, 'an open stream is cut by a kill');

      const resumed = history.witness();
      assert.equal(
        await follow(streamUrl(machine.url, history.id, history.cursor), undefined, {
          onFrame: (f) => resumed.frame(f),
        }),
        'closed',
      );
      const final = await checkStreamed(machine.url, history);
      assert.equal(final.status, 'completed');
      const log = await wholeLog(machine.url, history.id);
      assert.deepEqual(
        log.slice(0, 4).map(({ event }) => event),
        ['response.created', 'response.queued', 'response.in_progress', 'response.output_item.added'],
      );
      assert.equal(log.filter(({ event }) => event === 'response.output_text.delta').length, 20);

      const polled = await poll(machine.url, unstreamed.id, new History(unstreamed.id).witness());
      assert.equal(polled.status, 'completed');
    },
  );

  for (const at of [3, 5, 9, 40]) {
    test(`killed after event ${at}: failed, with what was seen of it kept (policy 3)`, TIMEOUT, async ({ signal }) => {
      await using machine = await Machine.start(signal);
      const script = { tokens: ENDLESS, first_token_ms: 0, interval_ms: 2, reasoning_tokens: at === 9 ? 3 : 0 };
      const { history, end } = await startStream(machine.url, script, isNumber(at));
      const polled = await get(machine.url, history.id);
      history.witness().snapshot(polled);
      await machine.kill();
      assert.ok((await end) instanceof ServerGone);
      await machine.start();

      const final = await checkStreamed(machine.url, history);
      assert.equal(final.status, 'failed');
      assert.equal(final.error?.code, 'server_error');
      assert.match(final.error?.message ?? '', /stopped/);
      assert.equal(final.completed_at, null);
      assert.equal(final.output.at(-1)?.status, 'incomplete');
      const types = (await wholeLog(machine.url, history.id)).slice(-3).map(({ event }) => event);
      assert.equal(types.at(-1), 'response.failed');
      assert.equal(types.at(-2), 'response.output_item.done');
    });
  }

  test(
    'killed three times as it ran with nothing to show: failed, not tried a fourth time',
    TIMEOUT,
    async ({ signal }) => {
      await using machine = await Machine.start(signal);
      const silent = { tokens: 1, first_token_ms: 3_600_000 };
      const { history } = await startStream(machine.url, silent, began);
      const unstreamed = await create(machine.url, silent);
      for (const run of [2, 3]) {
        await machine.restart();
        for (const id of [history.id, unstreamed.id]) {
          assert.equal((await get(machine.url, id)).status, 'in_progress', `run ${run}`);
        }
      }
      await machine.restart();
      const final = await checkStreamed(machine.url, history);
      assert.deepEqual(
        [final, await get(machine.url, unstreamed.id)].map(({ status, error, output }) => [
          status,
          error?.code,
          output,
        ]),
        [
          ['failed', 'server_error', []],
          ['failed', 'server_error', []],
        ],
      );
      assert.match(final.error?.message ?? '', /each time/);
      const log = await wholeLog(machine.url, history.id);
      assert.deepEqual(
        log.map(({ event }) => event),
        ['response.created', 'response.queued', 'response.in_progress', 'response.failed'],
      );
    },
  );

  test('queued responses are still queued after kill -9, and run in their turn', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal, { worker: { concurrency: 1 } });
    const { history } = await startStream(machine.url, { tokens: ENDLESS, first_token_ms: 0 }, isNumber(8));
    const queued: History[] = [];
    for (let count = 0; count < 5; count += 1) {
      const { history } = await startStream(machine.url, { tokens: 3, first_token_ms: 0 }, isNumber(1));
      assert.equal((await get(machine.url, history.id)).status, 'queued');
      queued.push(history);
    }
    const unstreamed = await create(machine.url, { tokens: 3, first_token_ms: 0 });
    await machine.restart();
    assert.equal((await checkStreamed(machine.url, history)).status, 'failed');
    for (const history of queued) {
      assert.equal((await checkStreamed(machine.url, history)).status, 'completed');
    }
    assert.equal((await poll(machine.url, unstreamed.id, new History('').witness())).status, 'completed');
  });

  test('a cancel that was acknowledged is not undone by kill -9', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal, { worker: { concurrency: 2 } });
    const cases = [
      await startStream(machine.url, { tokens: ENDLESS, first_token_ms: 0, interval_ms: 1 }, isNumber(12)),
      await startStream(machine.url, { tokens: ENDLESS, first_token_ms: 3_600_000 }, began),
      await startStream(machine.url, { tokens: ENDLESS }, isNumber(1)), // queued
    ].map(({ history }) => history);
    const answers = await Promise.all(
      cases.map(({ id }) => call(`${urlOf(machine.url, id)}/cancel`, { method: 'POST' })),
    );
    await machine.kill();
    await machine.start();
    for (const [index, history] of cases.entries()) {
      history.cancelled = JSON.parse(answers[index]?.body ?? '') as Response;
      assert.equal(history.cancelled.status, 'cancelled');
      await checkStreamed(machine.url, history);
      const again = await call(`${urlOf(machine.url, history.id)}/cancel`, { method: 'POST' });
      assert.equal(again.body, answers[index]?.body);
    }
  });

  test(
    'a cancel that a kill cut in half is finished at the next start, whatever the log holds',
    TIMEOUT,
    async ({ signal }) => {
      await using machine = await Machine.start(signal, { worker: { concurrency: 2 } });
      const cases = [
        await startStream(machine.url, { tokens: ENDLESS, first_token_ms: 0, interval_ms: 1 }, isNumber(12)),
        await startStream(machine.url, { tokens: ENDLESS, first_token_ms: 3_600_000 }, began),
        await startStream(machine.url, { tokens: ENDLESS }, isNumber(1)), // queued
      ].map(({ history }) => history);
      await machine.kill();
      await machine.withStore(async (store) => {
        for (const { id } of cases) {
          const { outcome } = await store.fenceForCancel('default', id, 'worker_of_the_dead_canceller', Date.now());
          assert.equal(outcome, 'fenced');
        }
      });
      await machine.start();
      for (const history of cases) {
        const final = await checkStreamed(machine.url, history);
        assert.equal(final.status, 'cancelled');
        assert.equal(final.error, null);
        const last = (await wholeLog(machine.url, history.id)).at(-1);
        assert.equal(last?.event, 'response.failed');
        const again = await call(`${urlOf(machine.url, history.id)}/cancel`, { method: 'POST' });
        assert.deepEqual(JSON.parse(again.body), final);
      }
    },
  );
});
