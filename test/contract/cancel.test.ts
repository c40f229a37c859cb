import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Store } from '../../server/src/domain/ports.ts';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { streamFrames, streamText } from '../support/sse.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { raceCancels } from './race.ts';
import {
  EventReader,
  RawClient,
  SILENT,
  assertError,
  assertWholeStream,
  call,
  cancel,
  create,
  get,
  hasEnded,
  idIn,
  jsonRequest,
  otter,
  parseAnswer,
  poll,
  pollUntil,
  remove,
  responseIn,
  responseOf,
  streamUrl,
  textOf,
  within,
} from './wire.ts';
import { LOCAL } from './webhook-endpoint.ts';

/** `POST …/cancel` and `DELETE`: how a response is ended by its client. */

let holt: TestHolt;
let upstream: Upstream;
let relay: TestHolt;
before(async () => {
  [holt, upstream] = await Promise.all([startHolt(), startUpstream()]);
  relay = await startHolt({ flags: ['--upstream', upstream.url] });
});
after(async () => {
  await Promise.all([holt.stop(), relay.stop()]);
  await upstream.stop();
});

const STREAMED = { background: true, stream: true };

test('A25 a queued response is cancelled and never reaches the model', async () => {
  await using small = await startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => (config.worker.concurrency = 1),
  });
  await upstream.script('ahead', [{ gate: 'ahead' }, { delta: { content: 'x' } }, { finish: 'stop' }]);
  const ahead = await create(small, { model: 'ahead', input: 'Hello', background: true });
  const plain = await create(small, { model: 'cancelled in line', input: 'Hello', background: true });
  const reader = await EventReader.create(small, { model: 'cancelled in line', input: 'Hello', background: true });
  const [created] = await reader.take(2);
  for (const id of [plain.id, idIn(created)]) {
    const cancelled = responseIn(await cancel(small, id));
    const { status, output, usage, error, completed_at } = cancelled;
    assert.deepEqual(
      { status, output, usage, error, completed_at },
      { status: 'cancelled', output: [], usage: null, error: null, completed_at: null },
    );
    assert.deepEqual(await poll(small, id), cancelled);
  }
  const rest = await reader.rest();
  assert.deepEqual(
    rest.map(({ event, data }) => [event, data.sequence_number]),
    [['response.failed', 2]],
  );
  await upstream.release('ahead');
  assert.equal((await pollUntil(small, ahead.id)).status, 'completed');
  assert.equal((await create(small, { model: 'after', input: 'Hello' })).status, 'completed');
  assert.deepEqual(await upstream.requests('cancelled in line'), []);
});

test('A26 a running response is cancelled, and its upstream socket closes', async () => {
  await upstream.script('talking', [{ delta: { content: 'Once' } }, { tokens: 1_000_000, intervalMs: 5 }]);
  await upstream.script('thinking', { headersGate: 'never', steps: [] });
  await upstream.script('stalling', [{ delta: { content: 'Once' } }, { gate: 'never' }]);
  for (const model of ['talking', 'thinking', 'stalling']) {
    const { id } = await create(relay, { model, input: 'Hello', background: true });
    await upstream.waitForRequest(model);
    if (model !== 'thinking') await pollUntil(relay, id, (response) => textOf(response) !== '');
    const cancelled = responseIn(await within(10_000, cancel(relay, id), 'the answer of cancel'));
    assert.equal(cancelled.status, 'cancelled', model);
    await within(10_000, upstream.waitForClose(model), 'the upstream socket closes');
    assert.deepEqual(await poll(relay, id), cancelled, model);
  }
});

test('what a cancelled response had said is kept, as incomplete', async () => {
  const calling = { index: 0, id: 'call_1', function: { name: 'find', arguments: '{"pl' } };
  await upstream.script('cut off', [
    { delta: { reasoning_content: 'Otters…' } },
    { delta: { content: 'Once upon' } },
    { delta: { tool_calls: [calling] } },
    { gate: 'never' },
  ]);
  const tools = [{ type: 'function', name: 'find' }];
  const { id } = await create(relay, { model: 'cut off', input: 'Hello', background: true, tools });
  const before = await pollUntil(relay, id, ({ output }) => output.length === 3);
  const after = responseIn(await cancel(relay, id));
  const { status, usage, error, completed_at, incomplete_details } = after;
  assert.deepEqual(
    { status, usage, error, completed_at, incomplete_details },
    { status: 'cancelled', usage: null, error: null, completed_at: null, incomplete_details: null },
  );
  const [reasoning, message, tool] = after.output;
  assert.ok(reasoning?.type === 'reasoning' && message?.type === 'message' && tool?.type === 'function_call');
  assert.deepEqual([reasoning.status, message.status, tool.status], ['completed', 'completed', 'incomplete']);
  assert.equal(textOf(after), 'Once upon');
  assert.ok('{"pl'.startsWith(tool.arguments));
  assert.deepEqual(
    after.output.map((item) => item.id),
    before.output.map((item) => item.id),
  );
});

test('A27 cancelling twice answers the same bytes', async () => {
  const { id } = await create(holt, otter({ tokens: 1_000, interval_ms: 20 }, { background: true }));
  await pollUntil(holt, id, (response) => textOf(response) !== '');
  const { text } = await cancel(holt, id);
  assert.equal(responseIn(await get(holt, `responses/${id}`)).status, 'cancelled');
  for (let again = 0; again < 5; again += 1) assert.equal((await cancel(holt, id)).text, text);
  assert.equal((await get(holt, `responses/${id}`)).text, text);
});

test('many cancels at once all answer the same', async () => {
  for (const script of [SILENT, { tokens: 1_000, interval_ms: 1 }]) {
    const { id } = await create(holt, otter(script, { background: true }));
    const answers = await Promise.all(Array.from({ length: 20 }, () => cancel(holt, id)));
    assert.equal(responseIn(answers[0]!).status, 'cancelled');
    for (const answer of answers) assert.equal(answer.text, answers[0]!.text);
  }
});

test('A28 cancelling an ended background response changes nothing', async () => {
  for (const [body, status] of [
    [otter(), 'completed'],
    [otter({ fail_after: 2 }), 'failed'],
    [otter({ tokens: 40 }, { max_output_tokens: 16 }), 'incomplete'],
  ] as const) {
    const { id } = await create(holt, { ...body, background: true });
    await pollUntil(holt, id);
    const { text } = await get(holt, `responses/${id}`);
    const answer = await cancel(holt, id);
    assert.equal(responseIn(answer).status, status);
    assert.equal(answer.text, text);
    assert.equal((await get(holt, `responses/${id}`)).text, text);
  }
});

test('A29 a foreground response can not be cancelled after its end', async () => {
  const { id } = await create(holt, otter());
  const { text } = await get(holt, `responses/${id}`);
  assertError(await cancel(holt, id), 400, {
    type: 'invalid_request_error',
    code: null,
    param: null,
    message: 'Cannot cancel a synchronous response.',
  });
  assert.equal((await get(holt, `responses/${id}`)).text, text);
});

test('A30 an unknown response can be neither cancelled nor deleted', async () => {
  const id = 'resp_000000000000000000000000000000000000000000000000';
  const message = `Response with id '${id}' not found.`;
  assertError(await cancel(holt, id), 404, { code: null, param: null, message });
  assertError(await remove(holt, id), 404, { code: null, param: null, message });
  // As in the guide's cancel program, as it stands.
  assertError(await cancel(holt, 'resp_123'), 404);
});

/** What clients send along with cancel and delete. */
const ACCOMPANIMENTS: Record<string, RequestInit> = {
  nothing: {},
  'a JSON content type and an empty body': { headers: { 'content-type': 'application/json' }, body: '' },
  'a content length of 0': { headers: { 'content-type': 'application/json', 'content-length': '0' } },
  'an empty object': { headers: { 'content-type': 'application/json' }, body: '{}' },
  'a body without a content type': { body: new TextEncoder().encode('{}') },
  'a text': { headers: { 'content-type': 'text/plain' }, body: '{}' },
  'a body it can not mean': { headers: { 'content-type': 'application/json' }, body: '{"force":true}' },
};

test('A32 cancel and delete accept whatever clients send along with them', async () => {
  for (const [what, init] of Object.entries(ACCOMPANIMENTS)) {
    const { id } = await create(holt, otter(SILENT, { background: true }));
    const url = `${holt.url}/v1/responses/${id}`;
    assert.equal(responseIn(await call('POST', `${url}/cancel`, init)).status, 'cancelled', what);
    assert.deepEqual(
      JSON.parse((await call('DELETE', url, init)).text),
      { id, object: 'response', deleted: true },
      what,
    );
  }
});

test('A48 a cancelled stream ends with response.failed whose status is cancelled, live and replayed', async () => {
  const reader = await EventReader.create(holt, otter({ tokens: 1_000, interval_ms: 5 }, { background: true }));
  const seen = await reader.take(12);
  const id = idIn(seen[0]);
  const other = await EventReader.open(streamUrl(holt, id));
  await other.take(3);
  const cancelled = responseIn(await cancel(holt, id));
  const frames = [...seen, ...(await reader.rest())];
  assertWholeStream(frames);
  const last = frames.at(-1);
  assert.equal(last?.event, 'response.failed');
  assert.equal(responseOf(last).status, 'cancelled');
  assert.equal(responseOf(last).error, null);
  assert.deepEqual(responseOf(last), cancelled);
  await other.rest();
  assert.equal(other.text, reader.text);
  assert.equal(await streamText(streamUrl(holt, id)), reader.text);
  assert.deepEqual(await poll(holt, id), cancelled);
});

test('A31 a cancel that races with the end leaves one end, the same everywhere', async (t) => {
  await using own = await startHolt(LOCAL);
  const ends = await raceCancels(own, 320);
  t.diagnostic(JSON.stringify(Object.fromEntries(ends)));
  assert.deepEqual([...ends.keys()].toSorted(), ['cancelled', 'completed'], 'it was a race');
});

test('a poll during a cancel is running or cancelled, and after it cancelled for ever', async () => {
  for (let round = 0; round < 20; round += 1) {
    const { id } = await create(holt, otter({ tokens: 500, interval_ms: 1 }, { background: true }));
    await pollUntil(holt, id, (response) => textOf(response) !== '');
    const cancelling = cancel(holt, id).then(responseIn);
    const answered = cancelling.then(() => true);
    const seen = [];
    do seen.push(await poll(holt, id));
    while (!(await Promise.race([answered, nextTurn(false)])));
    const cancelled = await cancelling;
    for (const response of seen) {
      if (hasEnded(response)) assert.deepEqual(response, cancelled);
      else assert.ok(textOf(cancelled).startsWith(textOf(response)), 'what was polled is kept');
    }
    assert.deepEqual(await poll(holt, id), cancelled);
  }
});

// ---------------------------------------------------------------- delete

test('A58 a deleted response is gone, for every verb', async () => {
  for (const body of [otter(), otter({}, { background: true }), otter({ fail_after: 1 }, { background: true })]) {
    const { id } = await create(holt, body);
    await pollUntil(holt, id);
    const answer = await remove(holt, id);
    assert.equal(answer.status, 200);
    assert.deepEqual(JSON.parse(answer.text), { id, object: 'response', deleted: true });
    await assertGone(id);
  }
  const streamed = await streamFrames(`${holt.url}/v1/responses`, jsonRequest(otter({}, STREAMED)));
  const id = idIn(streamed[0]);
  assert.equal((await remove(holt, id)).status, 200);
  await assertGone(id);
});

async function assertGone(id: string): Promise<void> {
  assertError(await get(holt, `responses/${id}`), 404);
  assertError(await get(holt, `responses/${id}?stream=true`), 404);
  assertError(await get(holt, `responses/${id}/input_items`), 404);
  assertError(await cancel(holt, id), 404);
  assertError(await remove(holt, id), 404);
}

test('A62 deleting a response that runs or waits stops it first', async () => {
  await upstream.script('deleted', [{ delta: { content: 'Once' } }, { gate: 'never' }]);
  const running = await create(relay, { model: 'deleted', input: 'Hello', background: true });
  await upstream.waitForGate('never');
  assert.deepEqual(JSON.parse((await remove(relay, running.id)).text), {
    id: running.id,
    object: 'response',
    deleted: true,
  });
  await within(10_000, upstream.waitForClose('deleted'), 'the upstream socket closes');
  assertError(await get(relay, `responses/${running.id}`), 404);

  await using small = await startHolt({ configure: (config) => (config.worker.concurrency = 1) });
  const ahead = await create(small, otter(SILENT, { background: true }));
  const waiting = await create(small, otter({}, { background: true }));
  assert.equal((await remove(small, waiting.id)).status, 200);
  assertError(await get(small, `responses/${waiting.id}`), 404);
  assert.equal((await remove(small, ahead.id)).status, 200);
  assert.equal((await create(small, otter())).status, 'completed', 'its slot is free');
});

test('deletes and cancels at once: one delete wins, nothing is stuck', async () => {
  for (let round = 0; round < 20; round += 1) {
    const { id } = await create(holt, otter({ tokens: 300, interval_ms: 1 }, { background: true }));
    const answers = await Promise.all([
      remove(holt, id),
      cancel(holt, id),
      remove(holt, id),
      cancel(holt, id),
      get(holt, `responses/${id}`),
    ]);
    const [first, , second] = answers.map(({ status }) => status);
    assert.ok([first, second].includes(200), `${first} ${second}`);
    for (const { status } of answers) assert.ok(status === 200 || status === 404, String(status));
    await assertGone(id);
  }
});

test('a stream whose response is deleted in the middle is cut, never closed as if it were whole', async () => {
  // A look into the log shows one chunk, of which even a compacted log of this length has several; the reader's second
  // look waits for the deletion.
  const deleted = Promise.withResolvers<void>();
  let hold = false;
  await using held = await startHolt({
    overrides: {
      wrapStore: (store) =>
        new Proxy(store, {
          get: (target, key) => {
            const verb: unknown = Reflect.get(target, key);
            if (key !== 'read') return typeof verb === 'function' ? verb.bind(target) : verb;
            return async (...args: Parameters<Store['read']>) => {
              if (hold && args[1] >= 0) await deleted.promise;
              const [no, after] = args;
              return target.read(no, after, 1);
            };
          },
        }),
    },
  });
  const frames = await EventReader.create(held, otter({ tokens: 60_000 }, { background: true }));
  const id = idIn((await frames.take(1))[0]);
  frames.leave();
  await pollUntil(held, id);
  hold = true;
  const reader = await RawClient.open(held);
  reader.send(`GET /v1/responses/${id}?stream=true HTTP/1.1\r\nConnection: close`);
  await reader.until((bytes) => bytes.includes('response.created'));
  assert.equal((await remove(held, id)).status, 200);
  deleted.resolve();
  await reader.closed;
  const { chunks, complete } = parseAnswer(reader.bytes);
  assert.equal(complete, false, 'no last chunk');
  assert.doesNotMatch(chunks.join(''), /^event: response\.(completed|failed|incomplete)$/m);
});

test('a stream whose response is deleted while it runs sees its end or is cut', async () => {
  for (let round = 0; round < 10; round += 1) {
    const reader = await EventReader.create(holt, otter({ tokens: 1_000, interval_ms: 2 }, { background: true }));
    const seen = await reader.take(10);
    const reading = reader.rest().then(
      (rest) => rest,
      () => undefined,
    );
    assert.equal((await remove(holt, idIn(seen[0]))).status, 200);
    const rest = await within(5_000, reading, 'the end of the stream');
    if (rest === undefined) continue;
    assertWholeStream([...seen, ...rest]);
    assert.equal(responseOf(rest.at(-1)).status, 'cancelled');
  }
});
