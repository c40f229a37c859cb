import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import type { Store } from '../../server/src/domain/ports.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { parseFrames, streamFrames, streamText } from '../support/sse.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { MovedClock } from './moved-clock.ts';
import {
  EventReader,
  RawClient,
  SILENT,
  assertError,
  assertWholeStream,
  cancel,
  create,
  get,
  idIn,
  jsonRequest,
  otter,
  parseAnswer,
  poll,
  pollUntil,
  post,
  responseOf,
  streamUrl,
  textOf,
  within,
} from './wire.ts';
import type { Frame, WireResponse } from './wire.ts';

/** Streams: what every reader at every time sees. */

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

const BACKGROUND = { background: true, stream: true };

/** The whole of a stream by creation, as text. */
function createdText(body: object): Promise<string> {
  return streamText(`${holt.url}/v1/responses`, jsonRequest({ ...body, stream: true }));
}

const names = (frames: Frame[]): string[] => frames.map(({ event }) => event);
const numbers = (frames: Frame[]): number[] => frames.map(({ data }) => data.sequence_number);

/** Bodies of all kinds of runs of the demonstration model. */
const KINDS: Record<string, Record<string, unknown>> = {
  text: otter({ tokens: 40 }, BACKGROUND),
  'reasoning, then text': otter({ tokens: 10, reasoning_tokens: 10 }, BACKGROUND),
  'a tool call': otter({ tool_call: 'look' }, { ...BACKGROUND, tools: [{ type: 'function', name: 'look' }] }),
  'a failure': otter({ fail_after: 7 }, BACKGROUND),
  'an incomplete answer': otter({ tokens: 40 }, { ...BACKGROUND, max_output_tokens: 16 }),
  'an empty answer': otter({ tokens: 0 }, BACKGROUND),
};

// ---------------------------------------------------------------- the form

test('A33 a stream has the headers that clients and proxies need', async () => {
  const { id } = responseOf((await streamFrames(`${holt.url}/v1/responses`, jsonRequest(KINDS['text'])))[0]);
  for (const reader of [
    await EventReader.create(holt, otter()),
    await EventReader.create(holt, otter({}, BACKGROUND)),
    await EventReader.open(streamUrl(holt, id)),
  ]) {
    assert.equal(reader.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    assert.equal(reader.headers.get('cache-control'), 'no-cache');
    assert.equal(reader.headers.get('x-accel-buffering'), 'no');
    await reader.rest();
  }
});

test('every kind of stream is whole: dense numbers, one end, and each text told the same way everywhere', async () => {
  for (const [kind, body] of Object.entries(KINDS)) {
    for (const background of [true, false]) {
      const text = await createdText({ ...body, background });
      // parseFrames refuses what is neither an event of two lines nor a comment: no id:, no retry:, no [DONE].
      const frames = parseFrames(text);
      assert.doesNotMatch(text, /^(id|retry):|\[DONE\]/m, kind);
      assertWholeStream(frames);
      const begin = background ? ['created', 'queued', 'in_progress'] : ['created', 'in_progress'];
      assert.deepEqual(
        names(frames.slice(0, begin.length)),
        begin.map((name) => `response.${name}`),
      );
      assert.deepEqual(await poll(holt, idIn(frames[0])), responseOf(frames.at(-1)), kind);
    }
  }
});

test('the order of events is the one clients know', async () => {
  const body = otter({ tokens: 2, reasoning_tokens: 1 }, BACKGROUND);
  assert.deepEqual(names(parseFrames(await createdText(body))), [
    'response.created',
    'response.queued',
    'response.in_progress',
    'response.output_item.added',
    'response.content_part.added',
    'response.reasoning_text.delta',
    'response.reasoning_text.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.delta',
    'response.output_text.delta',
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.completed',
  ]);
  assert.deepEqual(names(parseFrames(await createdText(KINDS['a tool call']!))).slice(3), [
    'response.output_item.added',
    'response.function_call_arguments.delta',
    'response.function_call_arguments.delta',
    'response.function_call_arguments.delta',
    'response.function_call_arguments.done',
    'response.output_item.done',
    'response.completed',
  ]);
});

test('before the end a snapshot in the stream is empty and has the status of its event', async () => {
  const frames = parseFrames(await createdText(KINDS['text']!));
  for (const [index, status] of (['queued', 'queued', 'in_progress'] as const).entries()) {
    const snapshot = responseOf(frames[index]);
    assert.deepEqual([snapshot.status, snapshot.output, snapshot.usage], [status, [], null]);
  }
  const foreground = parseFrames(await createdText(otter()));
  for (const frame of foreground.slice(0, 2)) assert.equal(responseOf(frame).status, 'in_progress');
});

test('one write holds whole events, live and replayed, short and long', async () => {
  for (const tokens of [30, 5_000]) {
    const created = await RawClient.open(holt);
    created.send(
      'POST /v1/responses HTTP/1.1',
      JSON.stringify(otter({ tokens, interval_ms: tokens < 100 ? 2 : 0 }, BACKGROUND)),
    );
    await created.until((bytes) => parseAnswerOrNothing(bytes)?.complete === true);
    const live = parseAnswer(created.bytes);
    const id = idIn(parseFrames(live.chunks.join(''))[0]);
    const replayed = await RawClient.open(holt);
    replayed.send(`GET /v1/responses/${id}?stream=true HTTP/1.1`);
    await replayed.until((bytes) => parseAnswerOrNothing(bytes)?.complete === true);
    for (const answer of [live, parseAnswer(replayed.bytes)]) {
      assert.equal(answer.status, 200);
      for (const chunk of answer.chunks) {
        assert.ok(chunk.endsWith('\n\n'), JSON.stringify(chunk.slice(-80)));
        parseFrames(chunk);
      }
      assertWholeStream(parseFrames(answer.chunks.join('')));
    }
    created.leave();
    replayed.leave();
  }
});

function parseAnswerOrNothing(bytes: Buffer): ReturnType<typeof parseAnswer> | undefined {
  return bytes.includes('\r\n\r\n') ? parseAnswer(bytes) : undefined;
}

// ---------------------------------------------------------------- the same for everybody

test('A42 a stream is replayed byte for byte, of every kind', async () => {
  for (const [kind, body] of Object.entries(KINDS)) {
    const live = await createdText(body);
    const { id } = responseOf(parseFrames(live)[0]);
    assert.equal(await streamText(streamUrl(holt, id)), live, kind);
    assert.equal(await streamText(streamUrl(holt, id, '&starting_after=-1')), live, kind);
  }
});

test('a stream is the same bytes after compaction and after a restart', async () => {
  const data = await temporaryDirectory();
  const compacted = Promise.withResolvers<void>();
  let merged = 0;
  const count = (done: number): void => {
    merged += done;
    if (merged >= 3) compacted.resolve();
  };
  const streams = new Map<string, string>();
  {
    await using first = await startHolt({ data, overrides: { wrapStore: watchCompaction(count) } });
    await Promise.all(
      [otter({ tokens: 200, interval_ms: 1 }, BACKGROUND), KINDS['reasoning, then text'], KINDS['a failure']].map(
        async (body) => {
          const text = await streamText(`${first.url}/v1/responses`, jsonRequest(body));
          streams.set(idIn(parseFrames(text)[0]), text);
        },
      ),
    );
    await compacted.promise;
    for (const [id, live] of streams) {
      assert.equal(await streamText(streamUrl(first, id)), live);
      assertSuffixes(live, await suffixes(first, id, live));
    }
  }
  {
    await using second = await startHolt({ data });
    for (const [id, live] of streams) {
      assert.equal(await streamText(streamUrl(second, id)), live);
      assertSuffixes(live, await suffixes(second, id, live));
    }
  }
  await rm(data, { recursive: true });
});

/** Tells how many logs each compaction merged. */
function watchCompaction(report: (done: number) => void): (store: Store) => Store {
  return (store) =>
    new Proxy(store, {
      get: (target, key) => {
        const verb: unknown = Reflect.get(target, key);
        if (key !== 'compact') return typeof verb === 'function' ? verb.bind(target) : verb;
        return async (limit: number) => {
          const done = await target.compact(limit);
          report(done);
          return done;
        };
      },
    });
}

/** The stream from some twenty cursors. */
async function suffixes(served: { url: string }, id: string, live: string): Promise<Map<number, string>> {
  const count = parseFrames(live).length;
  const found = new Map<number, string>();
  for (let cursor = 0; cursor < count; cursor += Math.ceil(count / 20)) {
    found.set(cursor, await streamText(streamUrl(served, id, `&starting_after=${cursor}`)));
  }
  return found;
}

function assertSuffixes(live: string, found: Map<number, string>): void {
  const frames = parseFrames(live);
  for (const [cursor, text] of found) {
    const expected = frames.slice(cursor + 1).map((frame) => `${frame.text}\n\n`);
    assert.equal(text, expected.join(''), `after ${cursor}`);
  }
}

test('A45 fifty readers, whenever they come, see identical bytes', async () => {
  const first = await EventReader.create(holt, otter({ tokens: 200, interval_ms: 3 }, BACKGROUND));
  const [created] = await first.take(1);
  const readers: Promise<EventReader>[] = [];
  for (let at = 0; at < 50; at += 1) {
    readers.push(EventReader.open(streamUrl(holt, idIn(created))));
    await first.take(4);
  }
  const all = await Promise.all(readers);
  await Promise.all([first, ...all].map((reader) => reader.rest()));
  for (const reader of all) assert.equal(reader.text, first.text);
  assertWholeStream(parseFrames(first.text));
});

test('A51 a reader that comes while the response is queued, while it runs or after its end gets the whole stream', async () => {
  await using small = await startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => (config.worker.concurrency = 1),
  });
  await upstream.script('blocking', [{ gate: 'unblock' }, { delta: { content: 'x' } }, { finish: 'stop' }]);
  await upstream.script('attached', [
    { delta: { content: 'Once' } },
    { gate: 'attach' },
    { delta: { content: ' upon' } },
    { finish: 'stop' },
    { done: true },
  ]);
  await create(small, { model: 'blocking', input: 'Hello', background: true });
  const creator = await EventReader.create(small, { model: 'attached', input: 'Hello', background: true });
  const [created, queued] = await creator.take(2);
  const id = idIn(created);
  assert.equal(queued?.event, 'response.queued');
  const early = await EventReader.open(streamUrl(small, id));
  await early.take(2);
  await upstream.release('unblock');
  await early.take(({ event }) => event === 'response.output_text.delta');
  const middle = await EventReader.open(streamUrl(small, id));
  await middle.take(({ event }) => event === 'response.output_text.delta');
  await upstream.release('attach');
  const late = [creator, early, middle];
  await Promise.all(late.map((reader) => reader.rest()));
  late.push(await EventReader.open(streamUrl(small, id)));
  await late.at(-1)!.rest();
  for (const reader of late) assert.equal(reader.text, creator.text);
  const frames = parseFrames(creator.text);
  assertWholeStream(frames);
  assert.deepEqual(numbers(frames.slice(0, 3)), [0, 1, 2]);
  assert.equal(textOf(responseOf(frames.at(-1))), 'Once upon');
});

test('a polled text was in the stream before', async () => {
  const reader = await EventReader.create(holt, otter({ tokens: 60, interval_ms: 5 }, BACKGROUND));
  const id = idIn(await reader.next());
  const polls: string[] = [];
  let said = '';
  const reading = (async () => {
    for (let frame = await reader.next(); frame !== undefined; frame = await reader.next()) {
      if (frame.event === 'response.output_text.delta') said += String(frame.data['delta']);
    }
  })();
  await pollUntil(holt, id, (response) => {
    polls.push(textOf(response));
    return response.status === 'completed';
  });
  await reading;
  for (const text of polls) assert.ok(said.startsWith(text));
});

// ---------------------------------------------------------------- cursors

test('A44 a stream goes on after the cursor: a table', async () => {
  const live = await createdText(otter({ tokens: 10 }, BACKGROUND));
  const frames = parseFrames(live);
  const id = idIn(frames[0]);
  const last = frames.length - 1;
  const table: [cursor: string, first: number][] = [
    ['-1', 0],
    ['', 0],
    ['0', 1],
    ['-0', 1],
    ['1', 2],
    ['007', 8],
    [String(last - 1), last],
    [String(last), last + 1],
    [String(last + 1), last + 1],
    [String(Number.MAX_SAFE_INTEGER), last + 1],
  ];
  for (const [cursor, first] of table) {
    const text = await streamText(streamUrl(holt, id, `&starting_after=${cursor}`));
    assert.deepEqual(numbers(parseFrames(text)), numbers(frames.slice(first)), `starting_after=${cursor}`);
    assert.ok(live.endsWith(text));
  }
  const refused = ['abc', '1.5', '9007199254740992', '9007199254740993', '1e3', '0x10', '-2', 'NaN', 'null', '1%202'];
  for (const cursor of refused) {
    const answer = await get(holt, `responses/${id}?stream=true&starting_after=${cursor}`);
    assertError(answer, 400, { type: 'invalid_request_error', param: 'starting_after' });
  }
  assert.equal((await get(holt, `responses/${id}?starting_after=3`)).status, 200, 'a poll has no cursor');
});

/** Resolves once the model `name` has said `said` and the stream has shown it. */
async function startPaused(name: string, said: string[], then: object[]): Promise<{ reader: EventReader; id: string }> {
  await upstream.script(name, [
    ...said.map((content) => ({ delta: { content } })),
    { gate: name },
    ...(then as { delta: object }[]),
    { finish: 'stop' },
    { done: true },
  ]);
  const reader = await EventReader.create(relay, { model: name, input: 'Hello', background: true });
  const [created] = await reader.take(5 + said.length);
  return { reader, id: idIn(created) };
}

test('a cursor beyond what a running response has said waits for what comes after it', async () => {
  const { reader, id } = await startPaused(
    'later',
    ['a', 'b'],
    [{ delta: { content: 'c' } }, { delta: { content: 'd' } }],
  );
  const cursors = [5, 6, 7, 8];
  const ahead = await Promise.all(
    cursors.map((cursor) => EventReader.open(streamUrl(relay, id, `&starting_after=${cursor}`))),
  );
  await upstream.release('later');
  await reader.rest();
  const frames = parseFrames(reader.text);
  for (const [index, one] of ahead.entries()) {
    assert.deepEqual(numbers(await one.rest()), numbers(frames.slice(cursors[index]! + 1)));
  }
});

test('a cursor that a running response never reaches ends with the response', async () => {
  const { reader, id } = await startPaused('short', ['a'], []);
  const far = await EventReader.open(streamUrl(relay, id, '&starting_after=1000'));
  await upstream.release('short');
  await reader.rest();
  assert.deepEqual(await within(5_000, far.rest(), 'the end of a stream without events'), []);
});

test('starting_after without stream=true is a poll', async () => {
  const { id } = await create(holt, otter());
  assert.equal((await get(holt, `responses/${id}?starting_after=1`)).text, (await get(holt, `responses/${id}`)).text);
});

test('stream takes the spellings of a boolean, and nothing else', async () => {
  const id = idIn(parseFrames(await createdText(KINDS['text']!))[0]);
  const type = async (query: string): Promise<string> =>
    (await get(holt, `responses/${id}?${query}`)).headers.get('content-type') ?? '';
  for (const query of ['stream=true', 'stream=1', 'stream=false&stream=true']) {
    assert.match(await type(query), /^text\/event-stream/, query);
  }
  for (const query of ['stream=false', 'stream=0', 'stream=', '']) {
    assert.match(await type(query), /^application\/json/, query);
  }
  for (const value of ['TRUE', 'yes', '2', 'null']) {
    assertError(await get(holt, `responses/${id}?stream=${value}`), 400, { param: 'stream', code: 'invalid_type' });
    assertError(await get(holt, `responses/${id}?stream=true&include_obfuscation=${value}`), 400, {
      param: 'include_obfuscation',
    });
  }
});

// ---------------------------------------------------------------- who may be streamed

test('A46 a background response created without stream is not streamed', async () => {
  for (const body of [otter(SILENT, { background: true }), otter({}, { background: true, stream: false })]) {
    const { id } = await create(holt, body);
    assertError(await get(holt, `responses/${id}?stream=true`), 400, {
      type: 'invalid_request_error',
      code: 'invalid_request_error',
      param: 'stream',
      message: 'This response cannot be streamed because it was not created with stream=true.',
    });
    assert.equal((await get(holt, `responses/${id}`)).status, 200);
  }
});

test('A47 a foreground response is not streamed again', async () => {
  const plain = await create(holt, otter());
  const streamed = idIn(parseFrames(await createdText(otter()))[0]);
  for (const id of [plain.id, streamed]) {
    assertError(await get(holt, `responses/${id}?stream=true&starting_after=2`), 400, {
      type: 'invalid_request_error',
      code: 'invalid_request_error',
      param: 'stream',
      message: 'This response cannot be streamed because it was not created with background=true.',
    });
  }
});

test('A52 after the replay window a stream is refused, though the response is still there', async () => {
  const clock = new MovedClock();
  await using forgetful = await startHolt({
    configure: (config) => (config.retention.log = 120_000),
    overrides: { clock },
  });
  const live = await streamFrames(`${forgetful.url}/v1/responses`, jsonRequest(KINDS['text']));
  const id = idIn(live[0]);
  const running = await EventReader.create(forgetful, otter(SILENT, BACKGROUND));
  const runningId = idIn((await running.take(3))[0]);
  clock.later = 100_000;
  assert.equal((await streamFrames(streamUrl(forgetful, id))).length, live.length);
  clock.later = 121_000;
  for (const query of ['', '&starting_after=3', `&starting_after=${live.length}`]) {
    assertError(await get(forgetful, `responses/${id}?stream=true${query}`), 400, {
      type: 'invalid_request_error',
      code: 'invalid_request_error',
      param: 'stream',
      message: 'This response can no longer be streamed because it is more than 2 minutes old',
    });
  }
  assert.deepEqual(await poll(forgetful, id), responseOf(live.at(-1)));
  // The window opens at the end, not at the beginning.
  assert.equal((await cancel(forgetful, runningId)).status, 200);
  assert.equal((await running.rest()).at(-1)?.event, 'response.failed');
  assert.equal((await streamFrames(streamUrl(forgetful, runningId))).at(-1)?.event, 'response.failed');
});

// ---------------------------------------------------------------- obfuscation

function assertObfuscation(text: string, wanted: boolean, label: string): void {
  let deltas = 0;
  for (const { event, data } of parseFrames(text)) {
    const { obfuscation, delta } = data;
    if (!event.endsWith('.delta')) {
      assert.ok(!('obfuscation' in data), `${label}: ${event}`);
      continue;
    }
    deltas += 1;
    assert.equal(typeof obfuscation, wanted ? 'string' : 'undefined', label);
    if (typeof obfuscation !== 'string') continue;
    assert.match(obfuscation, /^[A-Za-z0-9]+$/);
    assert.equal((String(delta).length + obfuscation.length) % 16, 0);
    assert.ok(obfuscation.length <= 16);
  }
  assert.ok(deltas > 0, label);
}

test('A40 obfuscation is off for background, on for foreground, and what is asked for wins', async () => {
  const tool = { tool_call: 'look', reasoning_tokens: 3 };
  for (const script of [{ tokens: 40, reasoning_tokens: 3 }, tool]) {
    for (const background of [true, false]) {
      for (const asked of [undefined, null, true, false]) {
        const label = `background ${background}, asked ${asked}`;
        const over = {
          background,
          tools: [{ type: 'function', name: 'look' }],
          ...(asked !== undefined && { stream_options: { include_obfuscation: asked } }),
        };
        const text = await createdText(otter(script, over));
        assertObfuscation(text, asked ?? !background, label);
        if (!background) continue;
        const id = idIn(parseFrames(text)[0]);
        // A GET decides for itself.
        assertObfuscation(await streamText(streamUrl(holt, id)), false, `${label}, GET`);
        assertObfuscation(await streamText(streamUrl(holt, id, '&include_obfuscation=true')), true, `${label}, GET on`);
        assertObfuscation(
          await streamText(streamUrl(holt, id, '&include_obfuscation=false')),
          false,
          `${label}, GET off`,
        );
      }
    }
  }
  assertObfuscation(await createdText(otter({}, { stream_options: {} })), true, 'an empty object');
});

test('but for obfuscation an obfuscated stream is the same', async () => {
  const plain = parseFrames(await createdText(KINDS['text']!));
  const url = streamUrl(holt, idIn(plain[0]), '&include_obfuscation=true');
  const [once, again] = [await streamText(url), await streamText(url)];
  assert.notEqual(once, again, 'it is made while sending');
  for (const text of [once, again]) {
    const stripped = parseFrames(text).map(({ data }) =>
      Object.fromEntries(Object.entries(data).filter(([key]) => key !== 'obfuscation')),
    );
    assert.deepEqual(
      stripped,
      plain.map(({ data }) => data),
    );
  }
});

// ---------------------------------------------------------------- silence

test('a silent model is bridged by comments, after response.created', async () => {
  await using lively = await startHolt({ overrides: { keepAliveMs: 10 } });
  for (const background of [true, false]) {
    // Headers of a foreground stream wait up to five seconds for the model, so this one speaks first.
    const script = background ? SILENT : { first_token_ms: 1, interval_ms: 3_600_000 };
    const reader = await EventReader.create(lively, otter(script, { background }));
    while ((reader.text.match(/^: keepalive\n\n/gm) ?? []).length < 3) await reader.more();
    assert.ok(reader.text.startsWith('event: response.created\n'));
    for (const block of reader.text.split('\n\n')) assert.match(block, /^(: keepalive|event: .+\ndata: \{.*\}|)$/);
    assert.deepEqual(numbers(parseFrames(reader.text)).slice(0, 2), [0, 1], 'a comment has no number');
    reader.leave();
  }
});

test('comments do not disturb the official client, and are not replayed', async () => {
  await using lively = await startHolt({ overrides: { keepAliveMs: 5 } });
  const stream = lively.client.responses.stream({
    ...(otter({ tokens: 8, interval_ms: 25 }) as { model: string; metadata: Record<string, string> }),
    input: 'Hello',
    background: true,
  });
  let events = 0;
  for await (const event of stream) {
    assert.equal(event.sequence_number, events);
    events += 1;
  }
  const final = await stream.finalResponse();
  assert.equal(final.status, 'completed');
  const replay = await streamText(streamUrl(lively, final.id));
  assert.equal(parseFrames(replay).length, events);
});

test('texts of every alphabet, half characters and control characters arrive as they were', async () => {
  const pieces = ['🦦', 'é', '\u0000', '\n\n', 'event: x\ndata: {}', '\ud83d', '\udda6', '"\\', '日本'];
  await upstream.script('odd', [
    ...pieces.map((content) => ({ delta: { content } })),
    { finish: 'stop' as const },
    { done: true as const },
  ]);
  const reader = await EventReader.create(relay, { model: 'odd', input: 'Hello', background: true });
  const frames = await reader.rest();
  assertWholeStream(frames);
  const deltas = frames.flatMap(({ event, data }) => (event === 'response.output_text.delta' ? [data['delta']] : []));
  assert.deepEqual(deltas, pieces);
  assert.equal(await streamText(streamUrl(relay, idIn(frames[0]))), reader.text);
  assert.equal(textOf(await poll(relay, idIn(frames[0]))), pieces.join(''));
});

test('a line separator inside a text does not end a line of the stream', async () => {
  await upstream.script('separators', [
    { delta: { content: 'a\u2028b\u2029c\u0085d\re' } },
    { finish: 'stop' },
    { done: true },
  ]);
  const body = { model: 'separators', input: 'Hello', ...BACKGROUND };
  const text = await streamText(`${relay.url}/v1/responses`, jsonRequest(body));
  const lines = text.split(/\r\n|\n|\r/).filter((line) => line !== '');
  for (const line of lines) assert.match(line, /^(event|data): /);
  const ends = lines
    .filter((line) => line.startsWith('data: '))
    .map((line) => JSON.parse(line.slice(6)) as Frame['data']);
  assert.equal(textOf(ends.at(-1)?.['response'] as WireResponse), 'a\u2028b\u2029c\u0085d\re');
});

test('a stream request that is refused is JSON with its status, whatever was asked for', async () => {
  assertError(await post(holt, otter({}, { stream: true, temperature: 3 })), 400, { param: 'temperature' });
  assertError(await post(holt, { stream: true, input: 'Hello' }), 400, { param: 'model' });
  await upstream.script('refused', { reply: { status: 401, body: { error: { message: 'bad key' } } } });
  const answer = await post(relay, { model: 'refused', input: 'Hello', stream: true });
  assertError(answer, answer.status);
  assert.ok(answer.status >= 400);
});
