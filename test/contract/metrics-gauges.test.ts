import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { StoreUnavailable } from '../../server/src/domain/ports.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt } from '../support/holt.ts';
import { Scrape } from '../support/prometheus.ts';
import { startUpstream } from '../support/upstream.ts';
import { EventReader, SILENT, cancel, create, idIn, jsonRequest, otter, streamUrl } from './wire.ts';

/** What `GET /metrics` looks at when it is asked, and that clients can't make it grow. */

test('what waits, what runs and what is free', async () => {
  await using holt = await startHolt({
    configure: (config) => {
      config.worker.concurrency = 2;
    },
  });
  const gauges = async (): Promise<unknown[]> => {
    const scrape = await Scrape.of(holt);
    const kinds = ['background', 'foreground'].map((kind) => scrape.value(`holt_responses_running{kind="${kind}"}`));
    return [scrape.value('holt_queue_length'), ...kinds, scrape.value('holt_slots_free'), scrape.value('holt_slots')];
  };
  assert.deepEqual(await gauges(), [0, 0, 0, 2, 2]);
  const foreground = await EventReader.create(holt, otter({ first_token_ms: 0, interval_ms: 3_600_000 }));
  await foreground.take(1);
  assert.deepEqual(await gauges(), [0, 0, 1, 1, 2]);
  const ids: string[] = [];
  for (let n = 0; n < 3; n += 1) ids.push((await create(holt, otter(SILENT, { background: true }))).id);
  assert.deepEqual(await gauges(), [2, 1, 1, 0, 2]);
  foreground.leave();
  await Scrape.until(holt, (scrape) => scrape.value('holt_queue_length') === 1, 'the free slot is taken');
  assert.deepEqual(await gauges(), [1, 2, 0, 0, 2]);
  for (const id of ids.toReversed()) await cancel(holt, id);
  await Scrape.until(holt, (scrape) => scrape.value('holt_slots_free') === 2, 'nothing runs');
  assert.deepEqual(await gauges(), [0, 0, 0, 2, 2]);
});

test('readers are counted up and down, one that has stopped reading too', async () => {
  await using upstream = await startUpstream();
  await using holt = await startHolt({ flags: ['--upstream', upstream.url] });
  const open = (count: number, what: string): Promise<Scrape> =>
    Scrape.until(holt, (scrape) => scrape.value('holt_streams_open') === count, what);
  await upstream.script('silent', [{ gate: 'never' }]);
  const writer = await EventReader.create(holt, { model: 'silent', input: 'Hi', background: true });
  const [created] = await writer.take(1);
  const id = idIn(created);
  const reader = await EventReader.open(streamUrl(holt, id));
  await open(2, 'two read');
  reader.leave();
  await open(1, 'one has left');
  await cancel(holt, id);
  await writer.rest();
  await open(0, 'it has ended');

  // Longer than what the kernel takes for somebody who does not read.
  await upstream.script('long', [{ tokens: 200, text: 'otter '.repeat(2_000) }, { finish: 'stop' }, { done: true }]);
  const long = { model: 'long', input: 'Hi', background: true, stream: true };
  const whole = await fetch(`${holt.url}/v1/responses`, jsonRequest(long));
  const bytes = (await whole.arrayBuffer()).byteLength;
  assert.ok(bytes > 12_000_000);
  const url = streamUrl(holt, whole.headers.get('x-response-id') ?? '');
  const socket = connect(Number(new URL(holt.url).port), '127.0.0.1');
  socket.pause();
  socket.write(`GET ${url.slice(holt.url.length)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  await open(1, 'it has begun');
  // Its events have been written as far as they go when another reader has got all of them.
  assert.equal((await (await fetch(url)).arrayBuffer()).byteLength, bytes);
  assert.equal((await open(1, 'one is left')).value('holt_streams_open'), 1);
  socket.destroy();
  await open(0, 'the one that did not read has left');
});

test('a thousand models, routes, ids and methods make no series', async () => {
  await using holt = await startHolt();
  const methods = ['GET', 'GET', 'PROPFIND', 'PURGE', 'LOCK', 'PATCH', 'DELETE', 'DELETE'];
  const round = async (n: number): Promise<void> => {
    const word = `made-up-${n}`;
    const asked = [
      [`/v1/responses`, jsonRequest(otter({ tokens: 1 }, { model: word, store: false }))],
      [n % 2 === 0 ? `/${word}` : `/v1/responses/${word}`, { method: methods[n % methods.length] ?? '' }],
    ] as const;
    await Promise.all(asked.map(async ([path, init]) => (await fetch(holt.url + path, init)).arrayBuffer()));
  };
  const rounds = async (from: number, to: number): Promise<Scrape> => {
    for (let n = from; n < to; n += 20) {
      await Promise.all(Array.from({ length: Math.min(20, to - n) }, (_, index) => round(n + index)));
    }
    const created = 'holt_http_requests_total{method="POST",route="/v1/responses",status="2xx"}';
    await Scrape.until(holt, (scrape) => scrape.value(created) === to, `${to} rounds`);
    return Scrape.of(holt); // the scrape before it is a series of its own
  };
  const few = await rounds(0, methods.length);
  const many = await rounds(methods.length, 1_000);
  assert.ok(few.series('holt_').length > 50);
  assert.deepEqual(many.series('holt_'), few.series('holt_'));
  const total = 'holt_responses_ended_total{kind="foreground",model="other",status="completed"}';
  assert.equal(many.value(total), 1_000);
});

test('a store that does not answer takes nothing away but its own figures', async () => {
  let answer: (() => Promise<never>) | undefined;
  const wrapStore = (store: Store): Store =>
    new Proxy(store, {
      get: (target, key) => {
        const own: unknown = Reflect.get(target, key);
        if (key === 'measure' && answer !== undefined) return answer;
        return typeof own === 'function' ? own.bind(target) : own;
      },
    });
  const clock = new FakeClock();
  await using holt = await startHolt({ overrides: { clock, wrapStore } });
  const known = (scrape: Scrape): unknown[] =>
    ['holt_queue_length', 'holt_store_bytes'].map((name) => scrape.series(name).length);
  assert.deepEqual(known(await Scrape.of(holt)), [1, 2]);
  answer = () => Promise.reject(new StoreUnavailable('the disk is gone'));
  assert.deepEqual(known(await Scrape.of(holt)), [0, 0]);
  answer = () => new Promise(() => {});
  const hanging = Scrape.of(holt);
  await clock.waitForTimer(2_000);
  clock.advance(2_000);
  const scrape = await hanging;
  assert.deepEqual(known(scrape), [0, 0]);
  assert.equal(scrape.value('holt_slots_free'), 256);
  answer = undefined;
  assert.deepEqual(known(await Scrape.of(holt)), [1, 2]);
});
