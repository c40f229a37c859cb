import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { FakeClock } from '../support/clock.ts';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import {
  SILENT,
  assertError,
  call,
  cancel,
  create,
  get,
  hasEnded,
  otter,
  poll,
  pollUntil,
  post,
  remove,
  responseIn,
  textOf,
  within,
} from './wire.ts';
import type { Answer } from './wire.ts';

/** `GET /v1/responses/{id}?wait=SECONDS`: the end of a response without asking again and again. */

// The clock stands still: a wait whose time is not over answers for another reason, or not at all.
const clock = new FakeClock();
let upstream: Upstream;
let holt: TestHolt;
before(async () => {
  upstream = await startUpstream();
  holt = await startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => {
      config.providers['otter'] = { kind: 'scripted' };
      config.models['otter'] = { provider: 'otter' };
    },
    overrides: { clock },
  });
});
after(async () => {
  // Nothing is left to drain: with a clock that stands still that would take for ever.
  await upstream.stop();
  const stopped = holt.stop();
  await clock.waitForTimer(100);
  clock.advance(100);
  await stopped;
});

/** No other timer of the server is as long. */
const SECONDS = 37;

const running = async (): Promise<string> => (await create(holt, otter(SILENT, { background: true }))).id;

/** Resolves when the server waits, to a promise of its answer. */
async function wait(id: string, init: RequestInit = {}): Promise<{ answer: Promise<Answer> }> {
  const answer = get(holt, `responses/${id}?wait=${SECONDS}`, init);
  await Promise.race([clock.waitForTimer(SECONDS * 1_000), answer]);
  return { answer: within(20_000, answer, 'the answer to a wait') };
}

const waits = (): number => clock.timers.filter((ms) => ms === SECONDS * 1_000).length;
const pollAfter = ({ headers }: Answer): string | null => headers.get('openai-poll-after-ms');

test('a wait answers when the response has ended, with what a poll answers then', async () => {
  const text = (content: string) => ({ delta: { content } });
  await upstream.script('ending', [
    text('An'),
    { gate: 'ending' },
    text(' otter.'),
    { finish: 'stop' },
    { done: true },
  ]);
  const { id } = await create(holt, { model: 'ending', input: 'Hello', background: true });
  await upstream.waitForGate('ending');
  const { answer } = await wait(id);
  await upstream.release('ending');
  const ended = await answer;
  const response = responseIn(ended);
  assert.deepEqual([response.status, textOf(response)], ['completed', 'An otter.']);
  assert.equal(ended.text, (await get(holt, `responses/${id}`)).text);
  assert.equal(pollAfter(ended), null);
  assert.equal(waits(), 0, 'nothing is left of the wait');
});

test('a wait answers when the upstream fails', async () => {
  await upstream.script('breaking', {
    headersGate: 'breaking',
    reply: { status: 400, body: { error: { message: 'no' } } },
  });
  const { id } = await create(holt, { model: 'breaking', input: 'Hello', background: true });
  await upstream.waitForGate('breaking');
  const { answer } = await wait(id);
  await upstream.release('breaking');
  assert.equal(responseIn(await answer).status, 'failed');
});

test('a wait answers at once when somebody cancels', async () => {
  const id = await running();
  const { answer } = await wait(id);
  const cancelled = await cancel(holt, id);
  assert.equal(responseIn(await answer).status, 'cancelled');
  assert.equal((await answer).text, cancelled.text);
});

test('a wait answers at once with a 404 when somebody deletes', async () => {
  const id = await running();
  const { answer } = await wait(id);
  assert.equal((await remove(holt, id)).status, 200);
  assertError(await answer, 404, { code: null, message: `Response with id '${id}' not found.` });
});

test('everybody who waits is answered', async () => {
  const id = await running();
  const { answer } = await wait(id);
  const others = Array.from({ length: 20 }, () => get(holt, `responses/${id}?wait=60`));
  await cancel(holt, id);
  for (const other of [await answer, ...(await within(20_000, Promise.all(others), 'all answers'))]) {
    assert.equal(responseIn(other).status, 'cancelled');
  }
});

test('what has ended, and what there is not, is answered without waiting', async () => {
  const { id } = await create(holt, { model: 'any', input: 'Hello', background: true });
  await pollUntil(holt, id);
  const foreground = await create(holt, { model: 'any', input: 'Hello' });
  for (const ended of [id, foreground.id]) {
    const answer = await (await wait(ended)).answer;
    assert.equal(answer.text, (await get(holt, `responses/${ended}`)).text);
    assert.equal(pollAfter(answer), null);
  }
  assertError(await (await wait('resp_123')).answer, 404);
  await remove(holt, id);
  assertError(await (await wait(id)).answer, 404);
});

test('when the time is over a wait answers with what there is', async () => {
  await upstream.script('slow', [
    { delta: { content: 'So far' } },
    { gate: 'slow' },
    { finish: 'stop' },
    { done: true },
  ]);
  const { id } = await create(holt, { model: 'slow', input: 'Hello', background: true });
  await upstream.waitForGate('slow');
  await pollUntil(holt, id, (response) => textOf(response) === 'So far');
  const { answer } = await wait(id);
  clock.advance(SECONDS * 1_000);
  const over = await answer;
  assert.deepEqual([responseIn(over).status, textOf(responseIn(over))], ['in_progress', 'So far']);
  assert.equal(pollAfter(over), '0', 'who has waited may ask again at once');
  await upstream.release('slow');
  await pollUntil(holt, id);
});

test('a wait is at least one second long and at most sixty', async () => {
  const id = await running();
  for (const [asked, ms] of [
    ['0', 1_000],
    ['1', 1_000],
    ['60', 60_000],
    ['61', 60_000],
    ['100', 60_000],
    ['9'.repeat(400), 60_000],
  ] as const) {
    const before = clock.timers.filter((timer) => timer === ms).length;
    const answer = get(holt, `responses/${id}?wait=${asked}`);
    while (clock.timers.filter((timer) => timer === ms).length === before) await sleep(2);
    clock.advance(ms);
    assert.equal(responseIn(await within(20_000, answer, `wait=${asked}`)).status, 'in_progress');
  }
  await cancel(holt, id);
});

test('a wait that is no number of seconds, or for a stream, is a 400 that names it', async () => {
  const { id } = await create(holt, otter(SILENT, { background: true, stream: false }));
  for (const value of ['abc', '', '-1', '1.5', '1e3', '0x10', '%205', '5s', 'true', 'NaN']) {
    assertError(await get(holt, `responses/${id}?wait=${value}`), 400, { param: 'wait', code: 'invalid_type' });
  }
  for (const value of ['5', '0', 'abc']) {
    assertError(await get(holt, `responses/${id}?wait=${value}&stream=true`), 400, { param: 'wait' });
  }
  await cancel(holt, id);
  assert.equal((await get(holt, `responses/${id}?wait=5&stream=false`)).status, 200);
});

test('a client that leaves takes its wait with it, and disturbs nobody', async () => {
  const id = await running();
  const before = clock.timers;
  const leaving = new AbortController();
  const { answer } = await wait(id, { signal: leaving.signal });
  assert.ok(clock.timers.length > before.length);
  const stays = get(holt, `responses/${id}?wait=59`);
  await clock.waitForTimer(59_000);
  const both = clock.timers.length;
  leaving.abort();
  await assert.rejects(answer, /abort/i);
  const released = async (): Promise<void> => {
    while (waits() > 0) await sleep(2);
  };
  await within(20_000, released(), 'the release of the wait');
  assert.equal(both - clock.timers.length, clock.timers.length - before.length, 'all of one wait is gone');
  await cancel(holt, id);
  assert.equal(responseIn(await stays).status, 'cancelled');
  assert.equal(clock.timers.filter((ms) => ms === 59_000).length, 0);
});

test('a response in the queue is waited for like any other', async () => {
  await using small = await startHolt({ configure: (config) => (config.worker.concurrency = 1) });
  const first = await create(small, otter(SILENT, { background: true }));
  const { id } = await create(small, otter({}, { background: true }));
  const answer = get(small, `responses/${id}?wait=60`);
  assert.equal((await poll(small, id)).status, 'queued');
  await cancel(small, first.id);
  assert.equal(responseIn(await within(20_000, answer, 'the answer')).status, 'completed');
});

test('the official client waits', async () => {
  await using server = await startHolt();
  const { id } = await create(server, otter({ tokens: 60, interval_ms: 3 }, { background: true }));
  const waited = await server.client.responses.retrieve(id, {}, { query: { wait: 60 } });
  assert.equal(waited.status, 'completed');
  assert.equal(waited.output_text.split(' ').length, 60);
});

test('an answer that shows an unfinished response says when to ask again', async () => {
  const made = await post(holt, otter(SILENT, { background: true }));
  const { id } = responseIn(made);
  assert.equal(pollAfter(made), '2000');
  assert.equal(pollAfter(await get(holt, `responses/${id}`)), '2000');
  assert.equal(pollAfter(await get(holt, `responses/${id}?stream=false`)), '2000');
  assert.equal(pollAfter(await get(holt, `responses/${id}/input_items`)), null);
  const cancelled = await cancel(holt, id);
  assert.ok(hasEnded(responseIn(cancelled)));
  assert.equal(pollAfter(cancelled), null);
  assert.equal(pollAfter(await get(holt, `responses/${id}`)), null);
  assert.equal(pollAfter(await post(holt, { model: 'any', input: 'Hello' })), null);
  assert.equal(pollAfter(await call('DELETE', `${holt.url}/v1/responses/${id}`)), null);
});
