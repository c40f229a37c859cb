import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { StoreUnavailable } from '../../server/src/domain/ports.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { streamText } from '../support/sse.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { MovedClock } from './moved-clock.ts';
import {
  EventReader,
  assertError,
  cancel,
  create,
  idIn,
  jsonRequest,
  otter,
  parseAnswer,
  poll,
  pollUntil,
  post,
  RawClient,
  remove,
  responseIn,
  SILENT,
  streamUrl,
  textOf,
  within,
} from './wire.ts';
import type { Answer, Served } from './wire.ts';

/** `Idempotency-Key`: a create that is sent again is the same response. */

let upstream: Upstream;
let holt: TestHolt;
before(async () => {
  upstream = await startUpstream();
  holt = await startHolt({ flags: ['--upstream', upstream.url] });
});
after(async () => {
  await holt.stop();
  await upstream.stop();
});

let keys = 0;
const freshKey = (): string => `key-${(keys += 1)}`;
const ask = (model: string, over: object = {}): object => ({ model, input: 'Hello', background: true, ...over });
const keyed = (served: Served, key: string, body: unknown): Promise<Answer> =>
  post(served, body, { 'idempotency-key': key });

/** The id of an answer that was, or was not, made for an earlier request. */
function idOf(answer: Answer, replayed: boolean): string {
  assert.equal(answer.headers.get('idempotent-replayed'), replayed ? 'true' : null);
  return responseIn(answer).id;
}

/**
 * Lets the first `count` creates go on when all of them have seen that their key is free: then they race. Fewer than the
 * rows that a server reads at once.
 */
function meeting(count: number): (store: Store) => Store {
  const met = Promise.withResolvers<void>();
  let asked = 0;
  return (store) =>
    new Proxy(store, {
      get: (target, verb: keyof Store) => {
        const own: unknown = target[verb];
        if (verb !== 'findByKey') return typeof own === 'function' ? (own.bind(target) as unknown) : own;
        const find: Store['findByKey'] = async (...args) => {
          asked += 1;
          const found = await target.findByKey(...args);
          if (asked === count) met.resolve();
          await met.promise;
          return found;
        };
        return find;
      },
    });
}

async function scriptHeld(model: string): Promise<void> {
  await upstream.script(model, [{ delta: { content: model } }, { gate: model }, { finish: 'stop' }, { done: true }]);
}

function streamed(served: Served, key: string, body: object): Promise<EventReader> {
  const request = jsonRequest({ ...body, stream: true }, { 'idempotency-key': key });
  return EventReader.open(`${served.url}/v1/responses`, request);
}

describe('the same key and body', () => {
  test('give the same response in its state now, and its upstream is asked once', async () => {
    const key = freshKey();
    await scriptHeld('state');
    const id = idOf(await keyed(holt, key, ask('state')), false);
    await upstream.waitForGate('state');
    await pollUntil(holt, id, (response) => textOf(response) === 'state');
    const running = await keyed(holt, key, ask('state'));
    assert.equal(idOf(running, true), id);
    assert.equal(running.headers.get('openai-poll-after-ms'), '2000');
    assert.equal(responseIn(running).status, 'in_progress');
    assert.equal(textOf(responseIn(running)), 'state');
    await upstream.release('state');
    await pollUntil(holt, id);
    const ended = await keyed(holt, key, ask('state'));
    assert.equal(idOf(ended, true), id);
    assert.deepEqual(responseIn(ended), await poll(holt, id));
    assert.equal(responseIn(ended).status, 'completed');
    assert.equal((await upstream.requests('state')).length, 1);
  });

  test('are the same however the JSON is written', async () => {
    const key = freshKey();
    const id = idOf(
      await keyed(
        holt,
        key,
        '{"model":"m","input":"é\\n","background":true,"temperature":1,"metadata":{"a":"1","b":"2"}}',
      ),
      false,
    );
    const again =
      ' { "metadata": {"b":"2", "a":"\\u0031"},\n"temperature": 1.0e0, "background": true, "input": "\\u00e9\\u000a", "model": "m" } ';
    assert.equal(idOf(await keyed(holt, key, again), true), id);
  });

  test('give one that was cancelled or has failed as it is', async () => {
    for (const [script, stop] of [
      [SILENT, (id: string) => cancel(demo, id)],
      [{ fail_after: 2 }, (id: string) => pollUntil(demo, id)],
    ] as const) {
      const key = freshKey();
      const body = otter(script, { background: true });
      const id = idOf(await keyed(demo, key, body), false);
      await stop(id);
      const again = await keyed(demo, key, body);
      assert.equal(idOf(again, true), id);
      assert.deepEqual(responseIn(again), await poll(demo, id));
      assert.match(responseIn(again).status ?? '', /^(cancelled|failed)$/);
    }
  });

  let demo: TestHolt;
  before(async () => {
    demo = await startHolt();
  });
  after(() => demo.stop());

  test('give the stream from its first event, then live, and later the same bytes', async () => {
    const key = freshKey();
    await scriptHeld('stream');
    const first = await streamed(holt, key, ask('stream'));
    assert.equal(first.headers.get('idempotent-replayed'), null);
    const id = idIn((await first.take(({ event }) => event === 'response.output_text.delta'))[0]);
    const second = await streamed(holt, key, ask('stream'));
    assert.equal(second.headers.get('idempotent-replayed'), 'true');
    assert.equal(second.headers.get('x-response-id'), id);
    await second.take(({ event }) => event === 'response.output_text.delta');
    assert.ok(first.text.startsWith(second.text));
    await upstream.release('stream');
    await Promise.all([first.rest(), second.rest()]);
    assert.equal(second.text, first.text);
    const third = await streamed(holt, key, ask('stream'));
    await third.rest();
    assert.equal(third.text, first.text);
    assert.equal(await streamText(streamUrl(holt, id)), first.text);
    assert.equal((await upstream.requests('stream')).length, 1);
  });

  test('obfuscate a stream for whoever asks for that', async () => {
    const body = otter({ tokens: 3 }, { background: true, stream_options: { include_obfuscation: true } });
    const key = freshKey();
    for (const replayed of [false, true]) {
      const reader = await streamed(demo, key, body);
      const deltas = (await reader.rest()).filter(({ event }) => event === 'response.output_text.delta');
      assert.ok(deltas.every(({ data }) => typeof data['obfuscation'] === 'string'));
      assert.equal(reader.headers.get('idempotent-replayed') === 'true', replayed);
    }
  });

  test('name what a lenient model has left out, once more', async () => {
    await using lenient = await startHolt({ flags: ['--upstream', upstream.url, '--compat', 'lenient'] });
    const key = freshKey();
    const body = ask('lenient', { tools: [{ type: 'web_search' }] });
    const answers = [await keyed(lenient, key, body), await keyed(lenient, key, body)];
    assert.equal(idOf(answers[1]!, true), idOf(answers[0]!, false));
    for (const { headers } of answers) assert.equal(headers.get('holt-dropped'), 'tools[0].type=web_search');
  });

  test('at the same time make one row and one run, and all are answered with it', async () => {
    const data = await temporaryDirectory();
    const settings = { flags: ['--upstream', upstream.url], data };
    const made: string[] = [];
    for (const concurrency of [8, 1]) {
      const model = `race ${concurrency}`;
      await using served = await startHolt({
        ...settings,
        configure: (config) => (config.worker.concurrency = concurrency),
        overrides: { wrapStore: meeting(12) },
      });
      const busy = concurrency === 1 ? await create(served, ask('busy', { input: 'first' })) : undefined;
      const key = freshKey();
      const answers = await Promise.all(Array.from({ length: 12 }, () => keyed(served, key, ask(model))));
      const ids = new Set(answers.map((answer) => responseIn(answer).id));
      assert.equal(ids.size, 1);
      assert.equal(answers.filter(({ headers }) => headers.get('idempotent-replayed') === null).length, 1);
      made.push(...(busy === undefined ? [] : [busy.id]), ...ids);
      const [id = ''] = ids;
      await pollUntil(served, id);
      assert.equal((await upstream.requests(model)).length, 1);
      // Whoever came second has given back its slot.
      await scriptHeld(`after ${model}`);
      for (let count = 0; count < concurrency; count += 1) {
        made.push((await create(served, ask(`after ${model}`))).id);
      }
      await within(20_000, upstream.waitForRequest(`after ${model}`, concurrency), 'all slots are used');
      await upstream.release(`after ${model}`);
    }
    const database = new DatabaseSync(join(data, 'holt.db'), { readOnly: true });
    const rows = database.prepare('select id from response order by no').all();
    database.close();
    assert.deepEqual(
      rows.map(({ id }) => id),
      made,
    );
    await rm(data, { recursive: true });
  });
});

describe('the same key and another body', () => {
  test('are a 400 that is not to be sent again, and the first response is untouched', async () => {
    const key = freshKey();
    await scriptHeld('mismatch');
    const body = ask('mismatch', { metadata: { a: '1' } });
    const id = idOf(await keyed(holt, key, body), false);
    await upstream.waitForGate('mismatch');
    for (const other of [
      { ...body, input: 'Hello!' },
      { ...body, metadata: { a: '2' } },
      { ...body, metadata: {} },
      { ...body, model: 'other' },
      // What is there counts, also where it says what holds without it.
      { ...body, store: true },
      { ...body, temperature: null },
      { ...body, stream: true },
    ]) {
      const answer = await keyed(holt, key, other);
      assertError(answer, 400, { code: 'idempotency_key_reused', param: 'Idempotency-Key' });
      assert.equal(answer.headers.get('x-should-retry'), 'false');
      assert.equal(answer.headers.get('idempotent-replayed'), null);
    }
    await upstream.release('mismatch');
    assert.equal((await pollUntil(holt, id)).status, 'completed');
    assert.equal(idOf(await keyed(holt, key, body), true), id);
    assert.equal((await upstream.requests('mismatch')).length, 1);
    assert.deepEqual(await upstream.requests('other'), []);
  });

  test('at the same time: one is made, the others are refused', async () => {
    const key = freshKey();
    await using served = await startHolt({
      flags: ['--upstream', upstream.url],
      overrides: { wrapStore: meeting(10) },
    });
    const inputs = Array.from({ length: 10 }, (_, index) => `Hello ${index}`);
    const answers = await Promise.all(inputs.map((input) => keyed(served, key, ask('rivals', { input }))));
    const statuses = answers.map(({ status }) => status).toSorted((one, other) => one - other);
    assert.deepEqual(statuses, [200, ...Array.from({ length: 9 }, () => 400)]);
    const winner = answers.find(({ status }) => status === 200)!;
    await pollUntil(served, responseIn(winner).id);
    assert.equal((await upstream.requests('rivals')).length, 1);
  });
});

describe('what is no use of a key is refused by name', () => {
  test('a key that is none', async () => {
    for (const key of ['', ' ', 'a key', 'x'.repeat(256), 'clé', 'tab\there']) {
      const answer = await keyed(holt, key, ask('no key'));
      assertError(answer, 400, { code: 'invalid_value', param: 'Idempotency-Key', message: /1 to 255 visible ASCII/ });
    }
    const body = JSON.stringify(ask('no key'));
    const twice = await RawClient.open(holt);
    const head = 'POST /v1/responses HTTP/1.1\r\nIdempotency-Key: one\r\nIdempotency-Key: two\r\nConnection: close';
    twice.send(head, body);
    await twice.closed;
    assert.equal(parseAnswer(twice.bytes).status, 400);
    assert.deepEqual(await upstream.requests('no key'), []);
  });

  test('the longest and the strangest key are keys, and differ by case', async () => {
    const visible = String.fromCharCode(...Array.from({ length: 94 }, (_, index) => 0x21 + index));
    const ids = new Set<string>();
    for (const key of [visible, 'x'.repeat(255), 'X'.repeat(255), '__proto__']) {
      const id = idOf(await keyed(holt, key, ask('strange')), false);
      assert.equal(idOf(await keyed(holt, key, ask('strange')), true), id);
      ids.add(id);
    }
    assert.equal(ids.size, 4);
  });

  test('a request without background mode, which makes nothing', async () => {
    const key = freshKey();
    for (const over of [{}, { stream: true }, { background: false }, { background: null }]) {
      const answer = await keyed(holt, key, { model: 'foreground', input: 'Hello', ...over });
      assertError(answer, 400, { code: 'unsupported_parameter', param: 'Idempotency-Key', message: /'background'/ });
    }
    assert.deepEqual(await upstream.requests('foreground'), []);
    idOf(await keyed(holt, key, ask('after foreground')), false);
  });
});

describe('a create that is sent again makes nothing new, so it is answered', () => {
  test('while no slot is free and the queue is full', async () => {
    await using full = await startHolt({
      configure: (config) => {
        config.worker.concurrency = 1;
        config.queue.max = 1;
      },
    });
    const silent = otter(SILENT, { background: true });
    const runs = idOf(await keyed(full, 'runs', silent), false);
    const waits = idOf(await keyed(full, 'waits', silent), false);
    assert.equal((await keyed(full, 'refused', silent)).status, 429);
    for (let times = 0; times < 3; times += 1) {
      const [running, queued] = [await keyed(full, 'runs', silent), await keyed(full, 'waits', silent)];
      assert.deepEqual([idOf(running, true), idOf(queued, true)], [runs, waits]);
      assert.deepEqual([responseIn(running).status, responseIn(queued).status], ['in_progress', 'queued']);
      assert.equal((await keyed(full, 'other', { ...silent, stream: true })).status, 429);
    }
    // A refusal did not use up its key.
    await cancel(full, waits);
    idOf(await keyed(full, 'refused', silent), false);
  });

  test('while the store takes no new work, if it can be read', async () => {
    let faults: 'none' | 'writes' | 'all' = 'none';
    const wrapStore = (store: Store): Store =>
      new Proxy(store, {
        get: (target, verb: keyof Store) => {
          const own: unknown = target[verb];
          if (typeof own !== 'function') return own;
          if (verb === 'accepts') return () => faults === 'none';
          return (...args: unknown[]): unknown =>
            faults === 'none' || verb === 'close' || (faults === 'writes' && /^(find|read)/.test(verb))
              ? own.apply(target, args)
              : Promise.reject(new StoreUnavailable('the disk is full'));
        },
      });
    await using served = await startHolt({ overrides: { wrapStore } });
    const body = otter({}, { background: true, stream: true });
    const first = await streamed(served, 'stored', body);
    await first.rest();
    faults = 'writes';
    assert.equal((await keyed(served, 'new', body)).status, 503);
    const again = await streamed(served, 'stored', body);
    await again.rest();
    assert.equal(again.text, first.text);
    faults = 'all';
    const unknown = await keyed(served, 'stored', body);
    assertError(unknown, 503, { code: 'store_unavailable' });
    assert.equal(unknown.headers.get('x-should-retry'), 'true');
    faults = 'none';
  });

  test('while its conversation is held, by itself, and after what it builds on is gone', async () => {
    await scriptHeld('held');
    const { id: conversation } = await holt.client.conversations.create();
    const first = responseIn(await keyed(holt, 'held', ask('held', { conversation })));
    assert.equal((await keyed(holt, 'other', ask('held', { conversation }))).status, 400);
    assert.equal(idOf(await keyed(holt, 'held', ask('held', { conversation })), true), first.id);
    await upstream.release('held');
    await pollUntil(holt, first.id);
    await holt.client.conversations.delete(conversation);
    assert.equal(idOf(await keyed(holt, 'held', ask('held', { conversation })), true), first.id);
    const before = await create(holt, ask('before'));
    await pollUntil(holt, before.id);
    const next = ask('builds', { previous_response_id: before.id });
    const id = idOf(await keyed(holt, 'builds', next), false);
    await remove(holt, before.id);
    assert.equal((await keyed(holt, 'builds-too', next)).status, 400);
    assert.equal(idOf(await keyed(holt, 'builds', next), true), id);
  });
});

test('the upstream hears of nothing before the key is durable', async () => {
  const gate = Promise.withResolvers<void>();
  const sent = Promise.withResolvers<void>();
  const wrapStore = (store: Store): Store =>
    new Proxy(store, {
      get: (target, verb: keyof Store) => {
        const own: unknown = target[verb];
        if (verb !== 'create') return typeof own === 'function' ? (own.bind(target) as unknown) : own;
        const held: Store['create'] = async (...args) => {
          sent.resolve();
          await gate.promise;
          return target.create(...args);
        };
        return held;
      },
    });
  await using served = await startHolt({ flags: ['--upstream', upstream.url], overrides: { wrapStore } });
  const asked = keyed(served, freshKey(), ask('commit'));
  await sent.promise;
  // A foreground request of later makes the whole way to the upstream and back.
  assert.equal((await create(served, { model: 'meanwhile', input: 'x', store: false })).status, 'completed');
  assert.deepEqual(await upstream.requests('commit'), []);
  gate.resolve();
  await pollUntil(served, idOf(await asked, false));
  assert.equal((await upstream.requests('commit')).length, 1);
});

describe('a key is forgotten', () => {
  test('at once with a response that is deleted, whether it had ended or not', async () => {
    const key = freshKey();
    const ids = new Set<string>();
    for (const model of ['ended', 'unfinished']) {
      await upstream.script(model, model === 'ended' ? [{ finish: 'stop' }, { done: true }] : [{ gate: 'never' }]);
      const id = idOf(await keyed(holt, key, ask(model)), false);
      if (model === 'ended') await pollUntil(holt, id);
      assert.equal((await remove(holt, id)).status, 200);
      ids.add(id);
    }
    ids.add(idOf(await keyed(holt, key, ask('ended')), false));
    assert.equal(ids.size, 3);
  });

  test('after 24 hours, or with a response that expires before', async () => {
    for (const [responseMs, keyMs] of [
      [30 * 86_400_000, 86_400_000],
      [3_600_000, 3_600_000],
    ] as const) {
      const clock = new MovedClock();
      const configure: NonNullable<Parameters<typeof startHolt>[0]>['configure'] = (config) => {
        config.retention.response = responseMs;
      };
      await using served = await startHolt({ overrides: { clock }, configure });
      const body = otter({}, { background: true });
      const first = idOf(await keyed(served, 'daily', body), false);
      await pollUntil(served, first);
      clock.later = keyMs - 60_000;
      assert.equal(idOf(await keyed(served, 'daily', body), true), first);
      clock.later = keyMs;
      const second = idOf(await keyed(served, 'daily', body), false);
      assert.notEqual(second, first);
      assert.equal(idOf(await keyed(served, 'daily', body), true), second);
    }
  });

  test('with a response under zero data retention, ten minutes after its end', async () => {
    const clock = new MovedClock();
    await using served = await startHolt({ flags: ['--retention', 'zero_data_retention'], overrides: { clock } });
    const body = otter({}, { background: true, stream: true });
    const first = await streamed(served, 'secret', body);
    await first.rest();
    const again = await streamed(served, 'secret', body);
    await again.rest();
    assert.equal(again.text, first.text);
    clock.later = 10 * 60_000;
    const second = await streamed(served, 'secret', body);
    await second.rest();
    assert.equal(second.headers.get('idempotent-replayed'), null);
  });
});

test('a stream that is asked for again after its log has gone is a 400 that names the response', async () => {
  const clock = new MovedClock();
  await using served = await startHolt({ overrides: { clock } });
  const body = otter({}, { background: true, stream: true });
  const first = await streamed(served, 'late', body);
  const id = idIn((await first.rest())[0]);
  clock.later = 10 * 60_000;
  assertError(await keyed(served, 'late', body), 400, { param: 'stream', message: new RegExp(`'${id}'.*10 minutes`) });
  assert.equal((await poll(served, id)).status, 'completed');
});
