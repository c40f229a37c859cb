import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FakeClock } from '../../support/clock.ts';
import { startHolt } from '../../support/holt.ts';
import type { TestHolt } from '../../support/holt.ts';
import { DOCUMENT_IS_THERE, judgeEvent } from '../../support/official.ts';
import { parseFrames, streamText } from '../../support/sse.ts';
import { skipUnavailable } from '../../support/unavailable.ts';
import { startUpstream } from '../../support/upstream.ts';
import type { Upstream } from '../../support/upstream.ts';
import {
  EventReader,
  RawClient,
  idIn,
  jsonRequest,
  otter,
  parseAnswer,
  poll,
  responseOf,
  streamUrl,
  textOf,
  within,
} from '../wire.ts';
import type { Frame } from '../wire.ts';

/** The contract's assertions about streams that no single test of stream.test.ts, cancel.test.ts or leaving.test.ts is. */

let holt: TestHolt;
let upstream: Upstream;
let relay: TestHolt;
/** Streams of every kind, as they came, by what they are. */
const streams = new Map<string, { text: string; background: boolean }>();

before(async () => {
  [holt, upstream] = await Promise.all([startHolt(), startUpstream()]);
  relay = await startHolt({ flags: ['--upstream', upstream.url] });
  const look = { tools: [{ type: 'function', name: 'look' }] };
  const kinds: Record<string, object> = {
    text: otter({ tokens: 40 }),
    'reasoning, then text': otter({ tokens: 10, reasoning_tokens: 10 }),
    'a tool call': otter({ tool_call: 'look' }, look),
    'a failure': otter({ fail_after: 7 }),
    'an incomplete answer': otter({ tokens: 40 }, { max_output_tokens: 16 }),
    'an empty answer': otter({ tokens: 0 }),
  };
  for (const [kind, body] of Object.entries(kinds)) {
    for (const background of [true, false]) {
      const request = jsonRequest({ ...body, background, stream: true });
      const text = await streamText(`${holt.url}/v1/responses`, request);
      streams.set(`${kind}, background ${background}`, { text, background });
    }
  }
});
after(async () => {
  await Promise.all([holt.stop(), relay.stop()]);
  await upstream.stop();
});

const TERMINAL = ['response.completed', 'response.failed', 'response.incomplete'];
const numbers = (frames: Frame[]): number[] => frames.map(({ data }) => data.sequence_number);

test('A34 a stream is frames of two lines whose names agree, and nothing else', () => {
  for (const [kind, { text }] of streams) {
    assert.ok(text.endsWith('\n\n'), kind);
    for (const frame of text.slice(0, -2).split('\n\n')) {
      const [, event, data] = /^event: (\S+)\ndata: (\{.*\})$/.exec(frame) ?? [];
      assert.ok(event !== undefined && data !== undefined, `${kind}: ${frame}`);
      assert.equal((JSON.parse(data) as { type: string }).type, event, kind);
    }
    assert.doesNotMatch(text, /^(id|retry):|^data: \[DONE\]/m, kind);
  }
});

test('A35 the numbers are dense from 0, and a background stream begins with created, queued, in_progress', () => {
  for (const [kind, { text, background }] of streams) {
    const frames = parseFrames(text);
    assert.deepEqual(
      numbers(frames),
      frames.map((_, index) => index),
      kind,
    );
    const begin = background ? ['created', 'queued', 'in_progress'] : ['created', 'in_progress'];
    assert.deepEqual(
      frames.slice(0, begin.length).map(({ event }) => event),
      begin.map((name) => `response.${name}`),
      kind,
    );
    assert.equal(
      frames.some(({ event }) => event === 'response.queued'),
      background,
      kind,
    );
  }
});

test('A36 there is one terminal event, it is the last, and the body ends there as HTTP has it', async () => {
  const ends = new Set<string>();
  for (const [kind, { text }] of streams) {
    const names = parseFrames(text).map(({ event }) => event);
    assert.deepEqual(
      names.flatMap((name, index) => (TERMINAL.includes(name) ? [index] : [])),
      [names.length - 1],
      kind,
    );
    ends.add(names.at(-1) ?? '');
  }
  assert.deepEqual([...ends].toSorted(), TERMINAL.toSorted());
  for (const background of [true, false]) {
    const client = await RawClient.open(holt);
    client.send(
      'POST /v1/responses HTTP/1.1\r\nConnection: close',
      JSON.stringify(otter({}, { background, stream: true })),
    );
    await client.closed;
    const { chunks, complete } = parseAnswer(client.bytes);
    assert.ok(complete);
    assert.match(chunks.at(-1) ?? '', /event: response\.completed\ndata: \{.*\}\n\n$/);
  }
});

test('A37 the deltas, their done event, the item and the final output tell one text', () => {
  for (const [kind, { text }] of streams) {
    const frames = parseFrames(text);
    const end = responseOf(frames.at(-1));
    for (const [family, field] of [
      ['response.output_text', 'text'],
      ['response.reasoning_text', 'text'],
      ['response.function_call_arguments', 'arguments'],
    ] as const) {
      const deltas = frames.filter(({ event }) => event === `${family}.delta`).map(({ data }) => data['delta']);
      const [done, ...more] = frames.filter(({ event }) => event === `${family}.done`);
      if (deltas.length === 0) continue;
      assert.ok(done !== undefined && more.length === 0, kind);
      const told = deltas.join('');
      assert.equal(done.data[field], told, kind);
      const index = Number(done.data['output_index']);
      const closed = frames.find(
        ({ event, data }) => event === 'response.output_item.done' && data['output_index'] === index,
      );
      const item = closed?.data['item'] as (typeof end.output)[number] | undefined;
      assert.equal(said(item), told, kind);
      assert.equal(said(end.output[index]), told, kind);
    }
    const shown = frames.filter(({ event }) => event === 'response.output_text.delta').map(({ data }) => data['delta']);
    assert.equal(textOf(end), shown.join(''), kind);
  }
});

/** All that an item says. */
function said(item: ReturnType<typeof responseOf>['output'][number] | undefined): string | undefined {
  if (item?.type === 'function_call') return item.arguments;
  if (item?.type === 'reasoning') return item.content?.map(({ text }) => text).join('');
  if (item?.type !== 'message') return undefined;
  return item.content.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('');
}

test('A38 every event is one of the official document', (t) => {
  if (!DOCUMENT_IS_THERE) return skipUnavailable(t, 'the official document does not lie beside the repository');
  const seen = new Set<string>();
  for (const { text } of streams.values()) {
    for (const { data } of parseFrames(text)) {
      judgeEvent(data);
      seen.add(data.type);
    }
  }
  assert.ok(seen.size >= 16, [...seen].join(' '));
});

test('A39 the Response of the terminal event is the one that a GET answers', async () => {
  for (const [kind, { text }] of streams) {
    const end = responseOf(parseFrames(text).at(-1));
    assert.deepEqual(await poll(holt, end.id), end, kind);
  }
});

test('A43 the last number as a cursor is an empty stream, a later one waits for what comes after it', async () => {
  const frames = parseFrames(streams.get('text, background true')?.text ?? '');
  const last = frames.length - 1;
  for (const cursor of [last, last + 1, last + 1_000]) {
    const reader = await EventReader.open(streamUrl(holt, idIn(frames[0]), `&starting_after=${cursor}`));
    assert.equal(reader.status, 200);
    assert.equal(reader.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    assert.deepEqual(await within(20_000, reader.rest(), 'the end of the empty stream'), []);
    assert.equal(reader.text, '');
  }

  const text = (content: string): { delta: object } => ({ delta: { content } });
  await upstream.script('going on', [
    text('a'),
    { gate: 'go on' },
    ...['b', 'c', 'd'].map(text),
    { finish: 'stop' },
    { done: true },
  ]);
  const live = await EventReader.create(relay, { model: 'going on', input: 'Hello', background: true });
  const begun = await live.take(({ event }) => event === 'response.output_text.delta');
  const beyond = begun.length + 1;
  const ahead = await EventReader.open(streamUrl(relay, idIn(begun[0]), `&starting_after=${beyond}`));
  await upstream.release('go on');
  const whole = [...begun, ...(await live.rest())];
  const waited = await within(20_000, ahead.rest(), 'what comes after the cursor');
  assert.deepEqual(numbers(waited), numbers(whole.slice(beyond + 1)));
  assert.ok(waited.length > 0);
});

test('A50 a silent minute is bridged by comments, none of them before response.created', async () => {
  const clock = new FakeClock();
  await using quiet = await startHolt({ overrides: { clock } });
  const script = { first_token_ms: 120_000, tokens: 3 };
  const reader = await EventReader.create(quiet, otter(script, { background: true }));
  const begun = await reader.take(3);
  // The helper of the official client breaks at anything before response.created.
  const { input: _, ...params } = otter(script, { background: true });
  const helper = quiet.client.responses.stream({ ...(params as { model: string }), input: 'Hello' });
  await new Promise((resolve) => helper.on('response.in_progress', resolve));

  for (let second = 0; second < 60; second += 1) clock.advance(1_000);
  clock.advance(60_000);
  const frames = [...begun, ...(await within(20_000, reader.rest(), 'the end of the stream'))];
  const silence = reader.text.slice(0, reader.text.indexOf('event: response.output_item.added'));
  assert.match(silence, /^event: response\.created\n/);
  assert.match(silence, /\n\n: .*\n\n$/);
  assert.deepEqual(
    numbers(frames),
    frames.map((_, index) => index),
    'a comment has no number',
  );
  assert.equal(frames.at(-1)?.event, 'response.completed');
  const final = await within(20_000, helper.finalResponse(), 'the end of the helper');
  assert.deepEqual([final.status, final.output_text !== ''], ['completed', true]);
  const replay = await streamText(streamUrl(quiet, idIn(frames[0])));
  assert.deepEqual(numbers(parseFrames(replay)), numbers(frames));
});
