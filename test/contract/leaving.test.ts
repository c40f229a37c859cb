import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { parseFrames, streamFrames, streamText } from '../support/sse.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import {
  EventReader,
  RawClient,
  assertError,
  assertWholeStream,
  create,
  get,
  idIn,
  jsonRequest,
  otter,
  parseAnswer,
  pollUntil,
  responseOf,
  streamUrl,
  textOf,
  within,
} from './wire.ts';
import type { Frame, Served } from './wire.ts';

/** Leaving is free: a client that drops changes nothing about a background run, and ends a foreground one. */

const logged: { level: string; fields: unknown; message: string }[] = [];
const note = (level: string) => (fields: object, message: string) => logged.push({ level, fields, message });
const log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };

let holt: TestHolt;
let upstream: Upstream;
let relay: TestHolt;
before(async () => {
  [holt, upstream] = await Promise.all([startHolt(), startUpstream()]);
  relay = await startHolt({ flags: ['--upstream', upstream.url], overrides: { log } });
});
after(async () => {
  await Promise.all([holt.stop(), relay.stop()]);
  await upstream.stop();
});

/** A run with some of everything, so slow that a client is gone while it goes on. */
const BODY = otter({ tokens: 24, reasoning_tokens: 4, interval_ms: 1 }, { background: true });
const STREAMED = JSON.stringify({ ...BODY, stream: true });

const ID = /"id":"(resp_[^"]+)"/;

/** What the run says when nobody leaves. */
async function undisturbed(): Promise<{ frames: Frame[]; text: string }> {
  const frames = await streamFrames(`${holt.url}/v1/responses`, jsonRequest({ ...BODY, stream: true }));
  return { frames, text: textOf(responseOf(frames.at(-1))) };
}

/** The whole log, once the run is over, is whole, says what an undisturbed run says, and begins with what was seen. */
async function assertUndisturbed(
  id: string,
  seen: Frame[],
  expected: { frames: Frame[]; text: string },
): Promise<Frame[]> {
  const cursor = seen.at(-1)?.data.sequence_number ?? -1;
  const rest = await streamFrames(streamUrl(holt, id, `&starting_after=${cursor}`));
  const whole = [...seen, ...rest];
  assertWholeStream(whole);
  assert.equal(whole.length, expected.frames.length);
  assert.equal(textOf(responseOf(whole.at(-1))), expected.text);
  assert.deepEqual(
    (await streamFrames(streamUrl(holt, id))).map(({ text }) => text),
    whole.map(({ text }) => text),
  );
  return rest;
}

test('A41 a stream dropped at any event resumes at its cursor with no gap and no repeat', async () => {
  const expected = await undisturbed();
  await Promise.all(
    expected.frames.map(async (_, index) => {
      const reader = await EventReader.create(holt, BODY);
      const seen = await reader.take(index + 1);
      reader.leave();
      const rest = await assertUndisturbed(idIn(seen[0]), seen, expected);
      assert.equal(rest.length, expected.frames.length - index - 1);
    }),
  );
});

test('a resumed stream can be dropped and resumed again, at every event', async () => {
  const expected = await undisturbed();
  const first = await EventReader.create(holt, BODY);
  const seen = await first.take(1);
  first.leave();
  const id = idIn(seen[0]);
  while (seen.length < expected.frames.length) {
    const reader = await EventReader.open(streamUrl(holt, id, `&starting_after=${seen.length - 1}`));
    seen.push(...(await reader.take(1)));
    reader.leave();
  }
  await assertUndisturbed(id, seen, expected);
});

test('a stream dropped at any byte changes nothing about the run', async (t) => {
  const expected = await undisturbed();
  const length = expected.frames.reduce((sum, { text }) => sum + text.length + 2, 0);
  const offsets = Array.from({ length: 60 }, () => Math.floor(Math.random() * (length + 400)));
  t.diagnostic(`offsets: ${offsets.join(' ')}`);
  await Promise.all(
    offsets.map(async (offset) => {
      const client = await RawClient.open(holt);
      client.send('POST /v1/responses HTTP/1.1', STREAMED);
      await client.until(
        (bytes) => (bytes.length >= offset && ID.test(bytes.toString('latin1'))) || bytes.includes('\r\n0\r\n\r\n'),
      );
      client.leave();
      // The id at least, or nothing could be asked about the run.
      const [match, id = ''] = ID.exec(client.bytes.toString('latin1')) ?? [''];
      const received = client.bytes.subarray(0, Math.max(offset, client.bytes.indexOf(match) + match.length));
      const text = parseAnswer(received).chunks.join('');
      await assertUndisturbed(id, parseFrames(text.slice(0, text.lastIndexOf('\n\n') + 2)), expected);
    }),
  );
});

test('a client that leaves before the answer leaves a response behind that ends by itself', async () => {
  const before = await upstream.requests('left');
  await upstream.script('left', [{ gate: 'left' }, { delta: { content: 'still said' } }, { finish: 'stop' }]);
  const client = await RawClient.open(relay);
  client.send(
    'POST /v1/responses HTTP/1.1',
    JSON.stringify({ model: 'left', input: 'Hello', background: true, stream: true }),
  );
  await upstream.waitForRequest('left', before.length + 1);
  client.leave();
  await client.closed;
  // Nobody is told the id, so only the upstream can say that the run goes on.
  const other = await create(relay, { model: 'left', input: 'Hello', background: true });
  await upstream.release('left');
  assert.equal(textOf(await pollUntil(relay, other.id)), 'still said');
  assert.deepEqual(
    (await upstream.requests('left')).map(({ closedBy }) => closedBy),
    [null, null],
  );
});

test('a foreground client that leaves its stream stops the model', async () => {
  await upstream.script('front', [{ delta: { content: 'Once' } }, { gate: 'never' }]);
  const reader = await EventReader.create(relay, { model: 'front', input: 'Hello' });
  const seen = await reader.take(({ event }) => event === 'response.output_text.delta');
  reader.leave();
  await within(10_000, upstream.waitForClose('front'), 'the upstream socket closes');
  assertError(await get(relay, `responses/${idIn(seen[0])}`), 404);
});

test('a foreground client that leaves while it waits for the JSON stops the model', async () => {
  for (const [name, steps] of Object.entries({
    silent: [{ gate: 'never' }],
    talking: [{ delta: { content: 'Once' } }, { tokens: 1_000_000, intervalMs: 5 }],
  })) {
    await upstream.script(name, steps);
    const client = await RawClient.open(relay);
    client.send('POST /v1/responses HTTP/1.1', JSON.stringify({ model: name, input: 'Hello' }));
    await upstream.waitForRequest(name);
    client.leave();
    await within(10_000, upstream.waitForClose(name), 'the upstream socket closes');
  }
});

test('a foreground client that leaves before the upstream has answered stops the request', async () => {
  await upstream.script('headless', { headersGate: 'never', steps: [] });
  for (const [index, stream] of [true, false].entries()) {
    const client = await RawClient.open(relay);
    client.send('POST /v1/responses HTTP/1.1', JSON.stringify({ model: 'headless', input: 'Hello', stream }));
    await upstream.waitForRequest('headless', index + 1);
    client.leave();
    await within(10_000, upstream.waitForClose('headless', index + 1), 'the upstream socket closes');
  }
});

test('the slot of a foreground client that left is free again', async () => {
  await using small = await startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => (config.worker.concurrency = 1),
  });
  await upstream.script('holding', [{ delta: { content: 'Once' } }, { gate: 'never' }]);
  for (let round = 1; round <= 3; round += 1) {
    const reader = await EventReader.create(small, { model: 'holding', input: 'Hello' });
    await reader.take(2);
    reader.leave();
    await upstream.waitForClose('holding', round);
  }
  assert.equal((await create(small, { model: 'answering', input: 'Hello' })).status, 'completed');
});

test('a foreground client that leaves the line costs no upstream request', async () => {
  await using small = await startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => (config.worker.concurrency = 1),
  });
  await upstream.script('first in line', [{ delta: { content: 'x' } }, { gate: 'line' }, { finish: 'stop' }]);
  const first = await EventReader.create(small, { model: 'first in line', input: 'Hello' });
  await upstream.waitForGate('line');
  const second = await RawClient.open(small);
  second.send('POST /v1/responses HTTP/1.1', JSON.stringify({ model: 'second in line', input: 'Hello' }));
  // It stands in line once the server has answered what was sent after it on another connection.
  await get(small, 'models');
  second.leave();
  await second.closed;
  await get(small, 'models');
  await upstream.release('line');
  assert.equal((await first.rest()).at(-1)?.event, 'response.completed');
  assert.equal((await create(small, { model: 'third in line', input: 'Hello' })).status, 'completed');
  assert.deepEqual(await upstream.requests('second in line'), []);
});

test('that a client has left is no error of the server', async () => {
  const complaints = logged.filter(({ level }) => level === 'warn' || level === 'error');
  assert.deepEqual(complaints, [], 'after all the leaving above');
});

test('A49 a reader that does not read holds up neither the run nor other readers', async () => {
  const body = otter({ tokens: 30_000 }, { background: true, stream: true });
  const slow = await RawClient.open(holt);
  slow.send('POST /v1/responses HTTP/1.1', JSON.stringify(body));
  await slow.until((bytes) => bytes.includes('"id":"resp_'));
  slow.socket.pause();
  const id = ID.exec(slow.bytes.toString('latin1'))?.[1] ?? '';
  const text = await streamText(streamUrl(holt, id));
  assert.equal((await pollUntil(holt, id)).status, 'completed');
  assertWholeStream(parseFrames(text));
  assert.ok(slow.bytes.length < text.length / 2, 'the slow reader was slow');
  // It can go on where it was, long after the end.
  slow.socket.resume();
  await slow.until((bytes) => bytes.subarray(-5).toString('latin1') === '0\r\n\r\n');
  assert.ok(parseAnswer(slow.bytes).chunks.join('') === text, 'the slow reader got the same bytes');
  slow.leave();
});

test('hundreds of readers that come and go leave nothing behind', async () => {
  const first = await EventReader.create(holt, otter({ tokens: 400, interval_ms: 4 }, { background: true }));
  const id = idIn((await first.take(4))[0]);
  await inWaves(300, 60, async () => {
    const client = await RawClient.open(holt);
    client.send(`GET /v1/responses/${id}?stream=true HTTP/1.1`);
    await client.until((bytes) => bytes.includes('response.created'));
    client.leave();
    await client.closed;
  });
  assertWholeStream([...parseFrames(first.text).slice(0, 4), ...(await first.rest())]);
  assert.equal(await streamText(streamUrl(holt, id)), first.text);
  await assertServes(holt);
});

async function inWaves(count: number, width: number, run: () => Promise<void>): Promise<void> {
  for (let done = 0; done < count; done += width) await Promise.all(Array.from({ length: width }, run));
}

async function assertServes(served: Served): Promise<void> {
  assert.equal((await create(served, otter())).status, 'completed');
}
