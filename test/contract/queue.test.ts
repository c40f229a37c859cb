import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Config } from '../../server/src/config.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { InProcess, TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import {
  EventReader,
  RawClient,
  assertError,
  cancel,
  create,
  idIn,
  otter,
  poll,
  pollUntil,
  post,
  remove,
  responseIn,
  textOf,
  within,
} from './wire.ts';
import type { Answer, WireResponse } from './wire.ts';

/** How much runs at once, who waits, and who is sent away. */

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
});
after(() => upstream.stop());

function startRelay(settings: (config: Config) => void, options: InProcess = {}): Promise<TestHolt> {
  return startHolt({ flags: ['--upstream', upstream.url], configure: settings, ...options });
}

/** Models that hold their answers until they are released by name. */
async function scriptHeld(prefix: string, count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `${prefix} ${index + 1}`);
  for (const name of names) {
    await upstream.script(name, [{ delta: { content: name } }, { gate: name }, { finish: 'stop' }, { done: true }]);
  }
  return names;
}

const ask = (model: string, over: object = {}): object => ({ model, input: 'Hello', background: true, ...over });

async function asked(names: string[]): Promise<string[]> {
  const lists = await Promise.all(names.map((name) => upstream.requests(name)));
  return names.filter((_, index) => (lists[index]?.length ?? 0) > 0);
}

function assertSentAway(answer: Answer, message: RegExp): void {
  assertError(answer, 429, { type: 'rate_limit_error', code: 'rate_limit_exceeded', param: null, message });
  const retryAfter = answer.headers.get('retry-after') ?? '';
  assert.match(retryAfter, /^[1-9]\d*$/);
  assert.ok(Number(retryAfter) <= 60, 'the official clients wait no longer');
}

test('no more responses run at once than the limit says, and the others follow in their order', async () => {
  const names = await scriptHeld('in order', 6);
  await using holt = await startRelay((config) => (config.worker.concurrency = 2));
  const made: WireResponse[] = [];
  for (const name of names) made.push(await create(holt, ask(name)));
  const statuses = async () => (await Promise.all(made.map(({ id }) => poll(holt, id)))).map(({ status }) => status);

  for (let running = 0; running < names.length; running += 1) {
    const upTo = Math.min(names.length, running + 2);
    for (const name of names.slice(running, upTo)) await upstream.waitForGate(name);
    assert.deepEqual(await asked(names), names.slice(0, upTo));
    assert.deepEqual(
      await statuses(),
      names.map((_, index) => (index < running ? 'completed' : index < upTo ? 'in_progress' : 'queued')),
    );
    await upstream.release(names[running]!);
    await pollUntil(holt, made[running]!.id);
  }
  assert.deepEqual((await Promise.all(made.map(({ id }) => poll(holt, id)))).map(textOf), names);
});

test('under a storm of requests the limit holds and nobody is forgotten', async () => {
  const limit = 3;
  await using holt = await startRelay((config) => (config.worker.concurrency = limit));
  await upstream.script('storm', [{ delta: { content: 'x' } }, { delayMs: 2 }, { finish: 'stop' }, { done: true }]);
  const open = new Set<string>();
  let most = 0;
  const watch = async (): Promise<void> => {
    const reader = await EventReader.create(holt, ask('storm'));
    for (let frame = await reader.next(); frame !== undefined; frame = await reader.next()) {
      const { id } = frame.data['response'] === undefined ? { id: '' } : (frame.data['response'] as WireResponse);
      if (frame.event === 'response.in_progress') open.add(id);
      if (frame.event === 'response.completed') open.delete(id);
      most = Math.max(most, open.size);
    }
  };
  await Promise.all(Array.from({ length: 60 }, watch));
  assert.equal(open.size, 0);
  // A slot is given away before the reader of the former holder has heard of its end.
  assert.ok(most <= 2 * limit, `${most} were running`);
  assert.equal((await upstream.requests('storm')).length, 60);
});

test('a request that finds the queue full gets a 429 with Retry-After and leaves nothing behind', async () => {
  const data = await temporaryDirectory();
  const names = await scriptHeld('full', 3);
  let ids: string[];
  {
    await using holt = await startRelay(
      (config) => {
        config.worker.concurrency = 1;
        config.queue.max = 2;
      },
      { data },
    );
    ids = [];
    for (const name of names) ids.push((await create(holt, ask(name))).id);
    for (const stream of [false, true]) {
      assertSentAway(await post(holt, ask('sent away', { stream })), /queue.*full/i);
    }
    // A place in the queue is free again when one who waits leaves it.
    assert.equal((await cancel(holt, ids[1]!)).status, 200);
    const replacement = await create(holt, ask(names[1]!));
    ids.push(replacement.id);
    assertSentAway(await post(holt, ask('sent away')), /queue.*full/i);
    for (const name of names) await upstream.release(name);
    for (const id of ids) await pollUntil(holt, id);
    assert.equal(textOf(await poll(holt, replacement.id)), names[1]);
    assert.deepEqual(await upstream.requests('sent away'), []);
  }
  const database = new DatabaseSync(join(data, 'holt.db'), { readOnly: true });
  const rows = database.prepare('select id, no from response order by no').all();
  const logs = database.prepare('select distinct response_no from chunk').all();
  database.close();
  assert.deepEqual(
    rows.map(({ id }) => id),
    ids,
  );
  assert.equal(logs.length, ids.length);
  await rm(data, { recursive: true });
});

test('with a queue of zero a free slot is still a free slot', async () => {
  // The worker looks into the queue now and then; a request that comes just then must not find it full.
  const clock = new FakeClock();
  const started = Promise.withResolvers<void>();
  let looked = Promise.withResolvers<void>();
  let found = Promise.resolve();
  await using holt = await startHolt({
    configure: (config) => {
      config.worker.concurrency = 8;
      config.queue.max = 0;
    },
    overrides: {
      clock,
      wrapStore: wrapVerbs((store) => ({
        sweep: (...args) => store.sweep(...args).finally(looked.resolve),
        claim: async (...args) => {
          await found;
          return store.claim(...args).finally(started.resolve);
        },
      })),
    },
  });
  await started.promise;
  await nextTurn();
  assert.equal((await create(holt, otter({}, { background: true }))).status, 'queued');
  const release = Promise.withResolvers<void>();
  found = release.promise;
  looked = Promise.withResolvers();
  clock.advance(1_000);
  await looked.promise;
  await nextTurn();
  const answer = await within(5_000, post(holt, otter({}, { background: true })), 'an answer').finally(release.resolve);
  assert.equal(answer.status, 200, answer.text);
});

/** Puts other verbs in the place of some of a store's. */
function wrapVerbs(verbs: (store: Store) => Partial<Store>): (store: Store) => Store {
  return (store) => {
    const replaced = verbs(store);
    return new Proxy(store, {
      get: (target, key) => {
        const verb: unknown = Reflect.get(key in replaced ? replaced : target, key);
        return typeof verb === 'function' ? verb.bind(target) : verb;
      },
    });
  };
}

test('a foreground request waits for a slot', async () => {
  const names = await scriptHeld('waiting', 2);
  await using holt = await startRelay((config) => (config.worker.concurrency = 1));
  const first = await create(holt, ask(names[0]!));
  await upstream.waitForGate(names[0]!);
  const second = post(holt, { model: names[1], input: 'Hello' });
  const third = await RawClient.open(holt);
  third.send('POST /v1/responses HTTP/1.1', JSON.stringify({ model: 'never asked', input: 'Hello' }));
  await poll(holt, first.id);
  assert.deepEqual(await asked(names), [names[0]]);
  third.leave();
  await third.closed;
  await upstream.release(names[0]!);
  await upstream.waitForGate(names[1]!);
  await upstream.release(names[1]!);
  assert.equal(textOf(responseIn(await second)), names[1]);
  assert.deepEqual(await upstream.requests('never asked'), []);
});

test('a foreground request that finds no slot in time gets a 429 with Retry-After', async () => {
  const [name] = await scriptHeld('occupying', 1);
  await using holt = await startRelay((config) => {
    config.worker.concurrency = 1;
    config.limits.foreground_wait = 40;
  });
  const { id } = await create(holt, ask(name!));
  await upstream.waitForGate(name!);
  for (const stream of [false, true]) {
    assertSentAway(await post(holt, { model: 'too late', input: 'Hello', stream }), /1 slots/);
  }
  assert.deepEqual(await upstream.requests('too late'), []);
  await upstream.release(name!);
  await pollUntil(holt, id);
  assert.equal((await create(holt, { model: 'in time', input: 'Hello' })).status, 'completed');
});

test('cancelled, deleted and failed responses free their slots', async () => {
  await using holt = await startHolt({ configure: (config) => (config.worker.concurrency = 1) });
  const silent = otter({ first_token_ms: 3_600_000 }, { background: true });
  for (const end of [cancel, remove]) {
    const { id } = await create(holt, silent);
    assert.equal((await end(holt, id)).status, 200);
  }
  const failed = await create(holt, otter({ fail_after: 1 }, { background: true }));
  const next = await create(holt, otter({ tokens: 3 }, { background: true }));
  assert.equal((await pollUntil(holt, next.id)).status, 'completed');
  assert.equal((await poll(holt, failed.id)).status, 'failed');
});

test('a response that is cancelled or deleted in the moment its turn comes does not hold the slot', async () => {
  for (const end of [cancel, remove]) {
    // Between the claim and the start the worker looks into the log: that look waits until the response has ended.
    const looking = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    let claimed: number | undefined;
    let armed = false;
    const complaints: string[] = [];
    const quiet = (): void => {};
    await using holt = await startHolt({
      configure: (config) => (config.worker.concurrency = 1),
      overrides: {
        log: {
          debug: quiet,
          info: quiet,
          warn: quiet,
          error: (_, message) => complaints.push(message),
        },
        wrapStore: wrapVerbs((store) => ({
          claim: async (...args) => {
            const rows = await store.claim(...args);
            if (armed) claimed ??= rows.responses[0]?.no;
            return rows;
          },
          read: async (...args) => {
            if (args[0] === claimed) {
              claimed = -1;
              looking.resolve();
              await ended.promise;
            }
            return store.read(...args);
          },
        })),
      },
    });
    const silent = otter({ first_token_ms: 3_600_000 }, { background: true });
    const first = await create(holt, silent);
    await pollUntil(holt, first.id, ({ status }) => status === 'in_progress');
    const second = await create(holt, silent);
    armed = true;
    assert.equal((await cancel(holt, first.id)).status, 200);
    await looking.promise;
    assert.equal((await end(holt, second.id)).status, 200);
    ended.resolve();
    const third = await create(holt, otter({ tokens: 3 }, { background: true }));
    assert.equal((await pollUntil(holt, third.id)).status, 'completed');
    assert.deepEqual(complaints, [], 'what was deleted is not damaged');
  }
});

test('what waits in the queue survives a restart and runs then, in its order', async () => {
  const data = await temporaryDirectory();
  const names = await scriptHeld('surviving', 4);
  const ids: string[] = [];
  {
    await using holt = await startRelay((config) => (config.worker.concurrency = 1), { data });
    for (const name of names) ids.push((await create(holt, ask(name))).id);
    await upstream.waitForGate(names[0]!);
    assert.equal((await cancel(holt, ids[0]!)).status, 200);
    await upstream.waitForGate(names[1]!);
  }
  await using holt = await startRelay((config) => (config.worker.concurrency = 1), { data });
  await upstream.waitForGate(names[2]!);
  const statuses = await Promise.all(ids.map(async (id) => (await poll(holt, id)).status));
  // The second had said something, which can not be said again; its slot goes to the third.
  assert.deepEqual(statuses, ['cancelled', 'failed', 'in_progress', 'queued']);
  for (const name of names) await upstream.release(name);
  const ended = await Promise.all(ids.slice(2).map((id) => pollUntil(holt, id)));
  assert.deepEqual(ended.map(textOf), names.slice(2));
  assert.equal(textOf(await poll(holt, ids[1]!)), names[1], 'what it had said is kept');
  await holt.stop();
  await rm(data, { recursive: true });
});

test('a queued stream begins with created and queued, and in_progress comes with its slot', async () => {
  const names = await scriptHeld('announced', 2);
  await using holt = await startRelay((config) => (config.worker.concurrency = 1));
  await create(holt, ask(names[0]!));
  const reader = await EventReader.create(holt, ask(names[1]!));
  const begun = await reader.take(2);
  assert.deepEqual(
    begun.map(({ event }) => event),
    ['response.created', 'response.queued'],
  );
  assert.equal((await poll(holt, idIn(begun[0]))).status, 'queued');
  await upstream.release(names[0]!);
  const [started] = await reader.take(1);
  assert.deepEqual([started?.event, started?.data.sequence_number], ['response.in_progress', 2]);
  await upstream.release(names[1]!);
  assert.equal((await reader.rest()).at(-1)?.event, 'response.completed');
});

test('a stop sends away who waits for a slot', async () => {
  const [name] = await scriptHeld('stopped', 1);
  const holt = await startRelay((config) => {
    config.worker.concurrency = 1;
    config.worker.drain = 30_000;
  });
  const running = await create(holt, ask(name!, { stream: false }));
  const waiting = post(holt, { model: 'm', input: 'x' });
  // Whoever came before so many others is waiting by now.
  for (let times = 0; times < 20; times += 1) await poll(holt, running.id);
  const stopped = holt.stop();
  assertError(await waiting, 503, { code: 'server_is_overloaded' });
  await upstream.release(name!);
  await stopped;
});
