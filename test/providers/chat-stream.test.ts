import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import test, { after } from 'node:test';
import type { UpstreamEvent } from '../../server/src/domain/upstream-event.ts';
import { ThinkTags } from '../../server/src/providers/chat/think-tags.ts';
import { collect, errorOf, openProvider, textOf, turnFor } from '../support/chat-run.ts';
import { FakeClock } from '../support/clock.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Step } from '../support/upstream.ts';

/** The stream as bytes and as time: torn, silent, endless, cut off. */

const upstream = await startUpstream();
const provider = openProvider(upstream.url);
after(async () => {
  await provider.close();
  await upstream.stop();
});

const text = (content: string): Step => ({ delta: { content } });
const finished: Step[] = [{ finish: 'stop' }, { done: true }];

function line(content: string): string {
  return `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}`;
}

async function answer(model: string, steps: Step[]): Promise<UpstreamEvent[]> {
  await upstream.script(model, steps);
  return collect(provider, turnFor(model));
}

// ---------------------------------------------------------------- bytes

for (const tear of ['none', 'utf8', 'crlf', 'data', 'bytes'] as const) {
  test(`bytes torn by ${tear} are read like whole ones`, async () => {
    const said = ['plain ', 'é漢🦦 ', 'new\nline'];
    const events = await answer(`torn-${tear}`, [
      { tear },
      { send: `${said.map(line).join('\r\n\r\n')}\r\n\r\n` },
      ...finished,
    ]);
    assert.equal(textOf(events), said.join(''));
    assert.equal(events.at(-1)?.type, 'finish');
  });
}

test('a byte order mark at the start is not part of the first field', async () => {
  const events = await answer('bom', [{ bytes: [0xef, 0xbb, 0xbf] }, text('first'), ...finished]);
  assert.equal(textOf(events), 'first');
});

test('data over several lines is one chunk', async () => {
  const events = await answer('multi-line', [
    { send: 'data: {"choices":\ndata: [{"index":0,\ndata: "delta":{"content":"joined"}}]}\n\n' },
    ...finished,
  ]);
  assert.equal(textOf(events), 'joined');
});

test('lines may end in a lone CR, and fields other than data are passed over', async () => {
  const events = await answer('cr', [
    { send: `id: 1\revent: message\r${line('ok')}\r\r` },
    { send: 'retry: 10\r\rnonsense\r\r' },
    ...finished,
  ]);
  assert.equal(textOf(events), 'ok');
});

test('the last event counts without its blank line', async () => {
  const events = await answer('no-blank-line', [text('ok'), { send: 'data: {"choices":[{"finish_reason":"stop"}]}' }]);
  assert.deepEqual(events.at(-1), { type: 'finish', reason: 'stop' });
});

test('a line without end is an error and closes the socket', async () => {
  await upstream.script('endless-line', [
    text('before'),
    { send: 'data: {"choices":[{"delta":{"content":"' },
    { tokens: 1_000_000, text: 'x'.repeat(10_000), bare: true },
  ]);
  const events = await collect(provider, turnFor('endless-line'));
  assert.equal(textOf(events), 'before');
  assert.match(errorOf(events).message, /more than 8388608 characters/);
  await upstream.waitForClose('endless-line');
});

test('a chunk that is not JSON is an error', async () => {
  const events = await answer('broken-json', [text('before'), { send: 'data: {"choices": [\n\n' }, text('after')]);
  assert.equal(textOf(events), 'before');
  assert.equal(errorOf(events).code, 'server_error');
});

test('choices beyond the first are ignored', async () => {
  const events = await answer('two-choices', [
    { chunk: { choices: [{ index: 1, delta: { content: 'second' } }] } },
    {
      chunk: {
        choices: [
          { index: 1, delta: { content: 'second' } },
          { index: 0, delta: { content: 'first' } },
        ],
      },
    },
    { chunk: { choices: [{ index: 1, delta: {}, finish_reason: 'length' }] } },
    ...finished,
  ]);
  assert.equal(textOf(events), 'first');
  assert.deepEqual(events.at(-1), { type: 'finish', reason: 'stop' });
});

test('the name and the model of the generation are told once', async () => {
  const events = await answer('meta', [text('a'), text('b'), ...finished]);
  const metas = events.filter((event) => event.type === 'meta');
  assert.deepEqual(metas, [{ type: 'meta', upstreamId: 'chatcmpl-script', model: 'script' }]);
});

test('sources become annotations: those of a delta at once, those of the answer at its end, each once', async () => {
  const events = await answer('sources', [
    { chunk: { citations: ['https://a.test/'], choices: [{ index: 0, delta: { content: 'x' } }] } },
    {
      delta: {
        annotations: [
          { type: 'url_citation', url_citation: { url: 'https://b.test/', title: 'B', start_index: 0, end_index: 1 } },
          { type: 'unknown' },
        ],
      },
    },
    { chunk: { citations: ['https://a.test/'], choices: [] } },
    ...finished,
  ]);
  const annotations = events.flatMap((event) => (event.type === 'annotation' ? [event.annotation] : []));
  assert.deepEqual(annotations, [
    { type: 'url_citation', url: 'https://b.test/', title: 'B', start_index: 0, end_index: 1 },
    { type: 'url_citation', url: 'https://a.test/', title: 'https://a.test/', start_index: 0, end_index: 0 },
  ]);
});

test('a thousand sources of an answer are held to its end, of a length that URLs have', async () => {
  const urls = Array.from({ length: 1_500 }, (_, index) => `https://${index}.test/`);
  const events = await answer('many-sources', [
    { chunk: { citations: [`https://long.test/${'l'.repeat(9_000)}`, ...urls], choices: [] } },
    text('a'),
    ...finished,
  ]);
  const annotated = events.flatMap((event) => (event.type === 'annotation' ? [event.annotation.url] : []));
  assert.deepEqual(annotated, urls.slice(0, 1_000));
});

test('reasoning_details are used when there is no plain reasoning', async () => {
  const details = [
    { type: 'reasoning.summary', summary: 'short' },
    { type: 'reasoning.text', text: 'long' },
    { type: 'reasoning.encrypted', data: 'abc' },
  ];
  const events = await answer('reasoning-details', [
    { delta: { reasoning_details: details } },
    { delta: { reasoning: 'plain', reasoning_details: details } },
    text('a'),
    ...finished,
  ]);
  assert.deepEqual(
    events.filter((event) => event.type === 'reasoning'),
    [
      { type: 'reasoning', kind: 'summary', delta: 'short' },
      { type: 'reasoning', kind: 'text', delta: 'long' },
      { type: 'reasoning', kind: 'text', delta: 'plain' },
    ],
  );
});

test('calls without index, id or repetition of the id keep their arguments apart', async () => {
  const call = (...calls: object[]): Step => ({ delta: { tool_calls: calls } });
  const events = await answer('loose-calls', [
    call({ function: { name: 'f', arguments: '{"a"' } }),
    call({ function: { name: 'f', arguments: ':1}' } }),
    call({ function: { name: 'f', arguments: '{"a":2}' } }),
    call({ id: 'c3', function: { name: 'g', arguments: '{' } }),
    call({ id: 'c4', function: { name: 'h', arguments: '{}' } }),
    call({ id: 'c3', function: { arguments: '}' } }),
    ...finished,
  ]);
  const calls = new Map<string, string>();
  for (const event of events) {
    if (event.type === 'tool_call') calls.set(event.key, (calls.get(event.key) ?? '') + (event.arguments ?? ''));
  }
  assert.deepEqual([...calls.values()], ['{"a":1}', '{"a":2}', '{}', '{}']);
});

// ---------------------------------------------------------------- errors inside a 200

const errorFrames: [string, Step][] = [
  ['an error event', { send: 'event: error\ndata: {"error":{"message":"boom","code":500}}\n\n' }],
  ['an error event without JSON', { send: 'event: error\ndata: boom\n\n' }],
  ['the error field of llama.cpp', { send: 'error: {"code":500,"message":"boom","type":"server_error"}\n\n' }],
  ['an error that is a string', { chunk: { error: 'boom' } }],
];
for (const [title, frame] of errorFrames) {
  test(`${title} ends the run with its message`, async () => {
    const events = await answer(`frame-${title}`, [text('before'), frame, text('after'), ...finished]);
    assert.equal(textOf(events), 'before');
    const { message, code, row } = errorOf(events);
    assert.deepEqual({ message, code, row }, { message: 'boom', code: 'server_error', row: 'upstream_failed' });
  });
}

test('an error after the finish reason changes nothing', async () => {
  const events = await answer('late-error', [
    text('ok'),
    { finish: 'stop' },
    { chunk: { error: { message: 'late' } } },
  ]);
  assert.deepEqual(events.at(-1), { type: 'finish', reason: 'stop' });
});

test('[DONE] without any output is an error', async () => {
  const events = await answer('only-done', [{ done: true }]);
  assert.equal(errorOf(events).retryable, true);
});

test('a finish reason that tells of a failure is one', async () => {
  const events = await answer('aborted', [text('ok'), { finish: 'abort' }, { done: true }]);
  assert.equal(errorOf(events).code, 'server_error');
});

// ---------------------------------------------------------------- a 200 that is no stream

test('a JSON answer is read as if it had been streamed', async () => {
  await upstream.script('json', {
    reply: {
      status: 200,
      body: {
        id: 'chatcmpl-1',
        object: 'chat.completion',
        model: 'whole',
        choices: [
          {
            index: 0,
            message: {
              role: 'assistant',
              content: 'whole',
              reasoning_content: 'thought',
              tool_calls: [
                { id: 'c1', type: 'function', function: { name: 'f', arguments: '{}' } },
                { id: 'c2', type: 'function', function: { name: 'g', arguments: '{"a":1}' } },
              ],
            },
            finish_reason: 'tool_calls',
          },
        ],
        usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
      },
    },
  });
  assert.deepEqual(await collect(provider, turnFor('json')), [
    { type: 'meta', upstreamId: 'chatcmpl-1', model: 'whole' },
    { type: 'reasoning', kind: 'text', delta: 'thought' },
    { type: 'text', delta: 'whole' },
    { type: 'tool_call', key: '0', callId: 'c1', name: 'f', arguments: '{}' },
    { type: 'tool_call', key: '1', callId: 'c2', name: 'g', arguments: '{"a":1}' },
    { type: 'usage', inputTokens: 1, outputTokens: 2 },
    { type: 'finish', reason: 'tool_calls' },
  ]);
});

test('a JSON error in a 200 is an error', async () => {
  const body = { error: { message: 'Rate limit reached', code: 'rate_limit_exceeded' } };
  await upstream.script('json-error', { reply: { status: 200, body } });
  const error = errorOf(await collect(provider, turnFor('json-error')));
  assert.deepEqual([error.row, error.message], ['upstream_rate_limited', 'Rate limit reached']);
});

test('a web page in a 200 is an error, not a try again', async () => {
  const reply = { status: 200, headers: { 'content-type': 'text/html' }, body: '\n<!doctype html><p>Welcome' };
  await upstream.script('web-page', { reply });
  const error = errorOf(await collect(provider, turnFor('web-page')));
  assert.deepEqual([error.row, error.retryable], ['upstream_failed', false]);
});

test('a stream under another content type is still a stream', async () => {
  await upstream.script('text-plain', {
    headers: { 'content-type': 'application/json' },
    steps: [text('ok'), ...finished],
  });
  assert.equal(textOf(await collect(provider, turnFor('text-plain'))), 'ok');
});

// ---------------------------------------------------------------- time

test('a stream that stalls goes on where it stopped', async () => {
  await upstream.script('stall', [text('a'), { gate: 'stall' }, text('b'), ...finished]);
  const said: string[] = [];
  for await (const batch of provider.run(turnFor('stall'), new AbortController().signal)) {
    if (textOf(batch) === 'a') await upstream.release('stall');
    said.push(textOf(batch));
  }
  assert.equal(said.join(''), 'ab');
});

test('a connection that breaks is an error worth another try', async () => {
  const events = await answer('reset', [text('a'), { reset: true }]);
  const error = errorOf(events);
  assert.deepEqual([error.code, error.retryable, error.row], ['server_error', true, 'upstream_failed']);
});

test('a connection that breaks after the finish reason is the end', async () => {
  await upstream.script('late-reset', [text('ok'), { finish: 'stop' }, { gate: 'late-reset' }, { reset: true }]);
  const events: UpstreamEvent[] = [];
  for await (const batch of provider.run(turnFor('late-reset'), new AbortController().signal)) {
    if (textOf(batch) === 'ok') await upstream.release('late-reset');
    events.push(...batch);
  }
  assert.deepEqual(events.at(-1), { type: 'finish', reason: 'stop' });
});

test('silence for too long is an error and closes the socket', async () => {
  const clock = new FakeClock();
  await using provider = openProvider(upstream.url, { timeouts: { idleMs: 1_000 } }, clock);
  await upstream.script('silent', [text('a'), { gate: 'never' }]);
  const events: UpstreamEvent[] = [];
  for await (const batch of provider.run(turnFor('silent'), new AbortController().signal)) {
    events.push(...batch);
    if (textOf(batch) === 'a') clock.advance(1_000);
  }
  assert.match(errorOf(events).message, /fell silent/);
  await upstream.waitForClose('silent');
  assert.deepEqual(clock.timers, []);
});

test('a comment keeps a silent stream alive', async () => {
  const clock = new FakeClock();
  await using provider = openProvider(upstream.url, { timeouts: { idleMs: 1_000 } }, clock);
  await upstream.script('comments', [
    text('a'),
    { gate: 'comment-1' },
    { send: ': still here\n\n' },
    { gate: 'comment-2' },
    text('b'),
    ...finished,
  ]);
  const events: UpstreamEvent[] = [];
  for await (const batch of provider.run(turnFor('comments'), new AbortController().signal)) {
    events.push(...batch);
    clock.advance(999);
    if (textOf(batch) === 'a') await upstream.release('comment-1');
    if (batch[0]?.type === 'alive') await upstream.release('comment-2');
  }
  assert.equal(textOf(events), 'ab');
  assert.deepEqual(events.at(-1), { type: 'finish', reason: 'stop' });
});

test('a reply that does not begin is an error after its time', async () => {
  const clock = new FakeClock();
  await using provider = openProvider(upstream.url, { timeouts: { headersMs: 1_000 } }, clock);
  await upstream.script('no-headers', { headersGate: 'never' });
  const run = collect(provider, turnFor('no-headers'));
  await upstream.waitForRequest('no-headers');
  clock.advance(1_000);
  assert.match(errorOf(await run).message, /did not begin to answer/);
  await upstream.waitForClose('no-headers');
});

test('a connection that is not made is an error after its time', async () => {
  const clock = new FakeClock();
  const silent = createServer();
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = silent.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  // A proxy that never grants the tunnel is a connection that never comes about.
  await using provider = openProvider(upstream.url, { proxy: { http: `http://127.0.0.1:${port}` } }, clock);
  const run = collect(provider, turnFor('unreachable'));
  const [socket] = await once(silent, 'connection');
  clock.advance(10_000);
  const error = errorOf(await run);
  assert.match(error.message, /could not be reached/);
  assert.equal(error.retryable, true);
  socket.destroy();
  silent.close();
});

test('after the finish reason the rest is waited for only a short while', async () => {
  const clock = new FakeClock();
  await using provider = openProvider(upstream.url, {}, clock);
  await upstream.script('no-end', [text('ok'), { finish: 'stop' }, { send: ': finished\n\n' }, { gate: 'never' }]);
  const run = collect(provider, turnFor('no-end'));
  await upstream.waitForGate('never');
  await clock.waitForTimer(5_000);
  clock.advance(5_000);
  assert.deepEqual((await run).at(-1), { type: 'finish', reason: 'stop' });
  await upstream.waitForClose('no-end');
});

test('[DONE] ends the run although the connection stays open, which then is closed', async () => {
  const clock = new FakeClock();
  await using provider = openProvider(upstream.url, {}, clock);
  await upstream.script('done-but-open', [text('ok'), { finish: 'stop' }, { doneButOpen: true }]);
  const events = await collect(provider, turnFor('done-but-open'));
  assert.deepEqual(events.at(-1), { type: 'finish', reason: 'stop' });
  clock.advance(5_000);
  await upstream.waitForClose('done-but-open');
});

// ---------------------------------------------------------------- leaving

test('an abort closes the socket at once and ends the run without an event', async () => {
  await upstream.script('abort', [text('a'), { gate: 'never' }]);
  const abort = new AbortController();
  const events: UpstreamEvent[] = [];
  for await (const batch of provider.run(turnFor('abort'), abort.signal)) {
    events.push(...batch);
    if (textOf(batch) === 'a') abort.abort();
  }
  assert.deepEqual(
    events.map((event) => event.type),
    ['meta', 'text'],
  );
  await upstream.waitForClose('abort');
});

test('an abort before the reply closes the socket', async () => {
  await upstream.script('abort-early', { headersGate: 'never' });
  const abort = new AbortController();
  const run = collect(provider, turnFor('abort-early'), abort.signal);
  await upstream.waitForRequest('abort-early');
  abort.abort();
  assert.deepEqual(await run, []);
  await upstream.waitForClose('abort-early');
});

test('an abort before the start sends nothing', async () => {
  assert.deepEqual(await collect(provider, turnFor('abort-first'), AbortSignal.abort()), []);
  assert.deepEqual(await upstream.requests('abort-first'), []);
});

test('a consumer that stops reading closes the socket', async () => {
  await upstream.script('break', [text('a'), { gate: 'never' }]);
  for await (const batch of provider.run(turnFor('break'), new AbortController().signal)) {
    if (textOf(batch) === 'a') break;
  }
  await upstream.waitForClose('break');
});

test('finished answers leave their connections to later ones', async () => {
  await using provider = openProvider(upstream.url);
  for (let turn = 0; turn < 12; turn += 1) await collect(provider, turnFor('reuse'));
  const ports = new Set((await upstream.requests('reuse')).map((request) => request.port));
  // One is reading its last bytes while the next request begins on another.
  assert.ok(ports.size <= 4, `${ports.size} connections for 12 requests`);
});

test('a slow consumer holds the upstream back, and loses nothing', async () => {
  const tokens = 60_000;
  await upstream.script('flood', [{ tokens, text: 'x'.repeat(100) }, ...finished]);
  let length = 0;
  let largest = 0;
  for await (const batch of provider.run(turnFor('flood'), new AbortController().signal)) {
    const size = textOf(batch).length;
    length += size;
    largest = Math.max(largest, size);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(length, tokens * 100);
  // The mark of 256 kB and what one read of the socket may add to it.
  assert.ok(largest < 512 * 1024, `a batch held ${largest} characters`);
});

// ---------------------------------------------------------------- think tags

const thoughts: [string, string[], boolean, [string, string][]][] = [
  [
    'whole',
    ['<think>why</think>because'],
    false,
    [
      ['reasoning', 'why'],
      ['text', 'because'],
    ],
  ],
  [
    'cut everywhere',
    Array.from('<think>why</think>\n\nbecause'),
    false,
    [
      ['reasoning', 'why'],
      ['text', 'because'],
    ],
  ],
  [
    'after blank lines',
    ['\n', '<th', 'ink>a</think>b'],
    false,
    [
      ['reasoning', 'a'],
      ['text', 'b'],
    ],
  ],
  [
    'opened by the template',
    ['why</thi', 'nk>because'],
    true,
    [
      ['reasoning', 'why'],
      ['text', 'because'],
    ],
  ],
  ['none', ['plain <think>text'], false, [['text', 'plain <think>text']]],
  ['something like it', ['<thin', 'g>'], false, [['text', '<thing>']]],
  [
    'inside a thought',
    ['<think>a < b </th c</think>d'],
    false,
    [
      ['reasoning', 'a < b </th c'],
      ['text', 'd'],
    ],
  ],
  ['never closed', ['<think>a</thi'], false, [['reasoning', 'a</thi']]],
  ['only begun', ['<thi'], false, [['text', '<thi']]],
];
for (const [title, pieces, opened, expected] of thoughts) {
  test(`think tags: ${title}`, () => {
    const tags = new ThinkTags(opened);
    const joined: [string, string][] = [];
    for (const piece of [...pieces.flatMap((content) => tags.push(content)), ...tags.flush()]) {
      const last = joined.at(-1);
      if (last?.[0] === piece.type) last[1] += piece.delta;
      else joined.push([piece.type, piece.delta]);
    }
    assert.deepEqual(joined, expected);
  });
}

test('think tags are split in a stream when the provider is told so, and only then', async () => {
  await using splitting = openProvider(upstream.url, { thinkTags: true });
  await upstream.script('think', [text('<th'), text('ink>why</think>'), text('because'), ...finished]);
  const split = (await collect(splitting, turnFor('think'))).filter((event) => 'delta' in event);
  assert.deepEqual(split, [
    { type: 'reasoning', kind: 'text', delta: 'why' },
    { type: 'text', delta: 'because' },
  ]);
  assert.equal(textOf(await collect(provider, turnFor('think'))), '<think>why</think>because');
});
