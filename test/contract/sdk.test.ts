import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import type { APIError } from 'openai';
import { clientOf, startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Script as UpstreamScript, Step, Upstream } from '../support/upstream.ts';
import { SILENT, get, otter, pollUntil, textOf } from './wire.ts';
import type { Script, Served } from './wire.ts';

/** The official client for Node, as it is. */

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

type Params = OpenAI.Responses.ResponseCreateParams;
type Body = { model: string; input: string; metadata: Record<string, string> };
const body = (script: Script = {}): Body => otter(script) as Body;

const LOOK: OpenAI.Responses.FunctionTool = { type: 'function', name: 'look', parameters: {}, strict: false };

// ---------------------------------------------------------------- create, retrieve, cancel, delete

test('create, retrieve and output_text', async () => {
  const { client } = holt;
  const made = await client.responses.create(body());
  assert.equal(made.status, 'completed');
  assert.equal(made.output_text, textOf(made));
  assert.notEqual(made.output_text, '');
  const background = await client.responses.create({ ...body(), background: true });
  assert.equal(background.status, 'queued');
  assert.equal(background.output_text, '');
  await pollUntil(holt, background.id);
  const retrieved = await client.responses.retrieve(background.id);
  assert.equal(retrieved.status, 'completed');
  assert.equal(retrieved.output_text, made.output_text);
  assert.ok(retrieved._request_id?.startsWith('req_'));
});

test('cancel twice, then delete', async () => {
  const { client } = holt;
  const { id } = await client.responses.create({ ...body(SILENT), background: true });
  const first = await client.responses.cancel(id);
  const second = await client.responses.cancel(id);
  assert.equal(first.status, 'cancelled');
  assert.deepEqual(second, first);
  await client.responses.delete(id);
  await assert.rejects(client.responses.retrieve(id), OpenAI.NotFoundError);
});

test('models can be listed and looked up, whatever their names', async () => {
  const names = async (served: TestHolt): Promise<string[]> => {
    const list: string[] = [];
    for await (const { id, object, created, owned_by } of served.client.models.list()) {
      assert.deepEqual([object, typeof created, typeof owned_by], ['model', 'number', 'string']);
      list.push(id);
    }
    return list;
  };
  assert.deepEqual(await names(holt), ['otter']);
  assert.equal((await holt.client.models.retrieve('otter')).id, 'otter');
  const odd = ['org/model:tag', 'a b', 'ü', 'x%y'];
  for (const name of odd) await upstream.script(name, []);
  const listed = await names(relay);
  for (const name of odd) {
    assert.ok(listed.includes(name), name);
    assert.equal((await relay.client.models.retrieve(name)).id, name);
  }
  await assert.rejects(relay.client.models.retrieve('no/such'), OpenAI.NotFoundError);
});

test('an upstream that can not be reached makes the list of models short, not an error', async () => {
  await using lonely = await startHolt({ flags: ['--upstream', 'http://127.0.0.1:9/v1'] });
  assert.deepEqual((await lonely.client.models.list()).data, []);
});

test('the raw answer has its request id, and the withResponse form works', async () => {
  const { data, response, request_id: requestId } = await holt.client.responses.create(body()).withResponse();
  assert.equal(data.status, 'completed');
  assert.equal(response.headers.get('x-request-id'), requestId);
  assert.match(requestId ?? '', /^req_[0-9a-f]{32}$/);
});

describe('errors are of the class that programs catch', () => {
  const unknown = 'resp_000000000000000000000000000000000000000000000000';
  const rejects = async (
    run: Promise<unknown>,
    kind: abstract new (...args: never[]) => APIError,
    fields: Partial<Record<'status' | 'code' | 'param' | 'type', unknown>>,
  ): Promise<void> => {
    await assert.rejects(run, (error) => {
      assert.ok(error instanceof kind, String(error));
      for (const [key, value] of Object.entries(fields)) assert.equal(Reflect.get(error, key), value, key);
      assert.match(error.requestID ?? '', /^req_/);
      return true;
    });
  };

  test('NotFoundError', async () => {
    const { responses } = holt.client;
    for (const run of [
      () => responses.retrieve(unknown),
      () => responses.cancel(unknown),
      () => responses.delete(unknown),
      () => responses.inputItems.list(unknown),
      () => responses.retrieve(unknown, { stream: true }),
      () => responses.cancel('resp_123'),
    ]) {
      await rejects(run(), OpenAI.NotFoundError, { status: 404, type: 'invalid_request_error' });
    }
  });

  test('BadRequestError', async () => {
    const { client } = holt;
    await rejects(client.responses.create({ ...body(), temperature: 2.5 }), OpenAI.BadRequestError, {
      status: 400,
      param: 'temperature',
      code: 'decimal_above_max_value',
    });
    await rejects(client.responses.create({ ...body(), background: true, store: false }), OpenAI.BadRequestError, {
      param: 'background',
    });
    const { id } = await client.responses.create(body());
    await rejects(client.responses.cancel(id), OpenAI.BadRequestError, { code: null });
    await rejects(client.responses.retrieve(id, { stream: true }), OpenAI.BadRequestError, { param: 'stream' });
    await rejects(client.responses.stream({ ...body(), top_p: 2 }).finalResponse(), OpenAI.BadRequestError, {
      param: 'top_p',
    });
  });

  test('AuthenticationError', async () => {
    await using locked = await startHolt({ env: { HOLT_API_KEY: 'the key of the house' } });
    assert.equal((await locked.client.responses.create(body())).status, 'completed');
    await rejects(clientOf(locked.url, 'another').responses.create(body()), OpenAI.AuthenticationError, {
      status: 401,
      code: 'invalid_api_key',
    });
  });

  test('RateLimitError, which the client gets over by itself', async () => {
    await using small = await startHolt({
      configure: (config) => {
        config.worker.concurrency = 1;
        config.queue.max = 0;
      },
    });
    const first = await createWhenUp(small, { ...body(SILENT), background: true });
    await rejects(small.client.responses.create({ ...body(), background: true }), OpenAI.RateLimitError, {
      status: 429,
      code: 'rate_limit_exceeded',
    });
    await small.client.responses.cancel(first.id);
  });

  /** A server that has just started may not know yet that its queue is empty. */
  async function createWhenUp(
    served: TestHolt,
    params: Params & { stream?: false },
  ): Promise<OpenAI.Responses.Response> {
    for (;;) {
      try {
        return await served.client.responses.create(params);
      } catch (error) {
        if (!(error instanceof OpenAI.RateLimitError)) throw error;
      }
    }
  }
});

// ---------------------------------------------------------------- input items

test('A57 input items are listed over pages, in both orders', async () => {
  const input = Array.from({ length: 45 }, (_, index) => ({ role: 'user' as const, content: `message ${index}` }));
  const { id } = await holt.client.responses.create({ ...body({ tokens: 1 }), input });
  const forwards = input.map(({ content }) => content);
  for (const [order, expected] of [
    ['asc', forwards],
    ['desc', forwards.toReversed()],
    [undefined, forwards.toReversed()],
  ] as const) {
    for (const limit of [undefined, 1, 7, 20, 45, 100]) {
      if (limit === 1 && order !== 'asc') continue;
      const seen: string[] = [];
      const ids = new Set<string>();
      const query = { ...(order !== undefined && { order }), ...(limit !== undefined && { limit }) };
      for await (const item of holt.client.responses.inputItems.list(id, query)) {
        assert.ok(item.type === 'message' && Array.isArray(item.content) && 'id' in item);
        assert.equal(item.status, 'completed');
        const [part] = item.content;
        assert.ok(part?.type === 'input_text');
        seen.push(part.text);
        ids.add(item.id);
      }
      assert.deepEqual(seen, expected, `${order} ${limit}`);
      assert.equal(ids.size, 45);
    }
  }
  const page = JSON.parse((await get(holt, `responses/${id}/input_items?order=asc`)).text) as {
    object: string;
    data: { id: string }[];
    first_id: string;
    last_id: string;
    has_more: boolean;
  };
  assert.deepEqual([page.object, page.data.length, page.has_more], ['list', 20, true]);
  assert.deepEqual([page.first_id, page.last_id], [page.data[0]?.id, page.data.at(-1)?.id]);
});

test('a text is one input item, and no input is an empty page', async () => {
  const one = await holt.client.responses.create(body({ tokens: 1 }));
  const items = await holt.client.responses.inputItems.list(one.id);
  assert.deepEqual(
    items.data.map((item) => item.type === 'message' && [item.role, item.content]),
    [['user', [{ type: 'input_text', text: body().input }]]],
  );
  const none = await holt.client.responses.create({ ...body({ tokens: 1 }), input: [] });
  const page: unknown = JSON.parse((await get(holt, `responses/${none.id}/input_items`)).text);
  assert.deepEqual(page, { object: 'list', data: [], first_id: null, last_id: null, has_more: false });
});

test('input items of every kind are listed as they were sent, also while the response runs', async () => {
  const input: OpenAI.Responses.ResponseInput = [
    { role: 'developer', content: 'Be brief.' },
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Look!' }] },
    { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'Hm.' }] },
    { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: 'look', arguments: '{}' },
    { type: 'function_call_output', call_id: 'call_1', output: 'stars' },
    { role: 'assistant', content: 'Stars.' },
  ];
  const { id } = await holt.client.responses.create({ ...body(SILENT), input, background: true });
  const { data } = await holt.client.responses.inputItems.list(id, { order: 'asc' });
  assert.deepEqual(
    data.map((item) => item.type),
    ['message', 'message', 'reasoning', 'function_call', 'function_call_output', 'message'],
  );
  assert.deepEqual([data[2]?.id, data[3]?.id], ['rs_1', 'fc_1']);
  assert.ok(data.every((item) => typeof item.id === 'string' && item.id !== ''));
});

// ---------------------------------------------------------------- streams

test('a raw stream is iterated to its end', async () => {
  for (const background of [true, false]) {
    const stream = await holt.client.responses.create({ ...body(), background, stream: true });
    let text = '';
    let next = 0;
    let last: OpenAI.Responses.ResponseStreamEvent | undefined;
    for await (const event of stream) {
      assert.equal(event.sequence_number, next);
      next += 1;
      if (event.type === 'response.output_text.delta') text += event.delta;
      last = event;
    }
    assert.ok(last?.type === 'response.completed');
    assert.equal((await holt.client.responses.retrieve(last.response.id)).output_text, text);
  }
});

test('retrieve with stream and starting_after goes on after the cursor', async () => {
  const { client } = holt;
  const stream = await client.responses.create({
    ...body({ tokens: 40, interval_ms: 2 }),
    background: true,
    stream: true,
  });
  let id = '';
  const seen: number[] = [];
  for await (const event of stream) {
    if (event.type === 'response.created') id = event.response.id;
    seen.push(event.sequence_number);
    if (seen.length === 12) break;
  }
  let last = '';
  for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: seen.at(-1)! })) {
    seen.push(event.sequence_number);
    last = event.type;
  }
  assert.deepEqual(
    seen,
    seen.map((_, index) => index),
  );
  assert.equal(last, 'response.completed');
});

test('A53 stream() broken off at event 10 goes on by response_id with event 11 to the same final response', async () => {
  const { client } = holt;
  const first = client.responses.stream({ ...body({ tokens: 60, interval_ms: 2 }), background: true });
  let id = '';
  for await (const event of first) {
    if (event.type === 'response.created') id = event.response.id;
    if (event.sequence_number === 10) break;
  }
  const second = client.responses.stream({ response_id: id, starting_after: 10 });
  const numbers: number[] = [];
  for await (const event of second) numbers.push(event.sequence_number);
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 11),
  );
  const final = await second.finalResponse();
  assert.equal(final.status, 'completed');
  assert.equal(final.output_text, (await client.responses.retrieve(id)).output_text);
  assert.notEqual(final.output_text, '');
});

type Told = { events: string[]; final: OpenAI.Responses.Response };

async function listen(stream: ReturnType<OpenAI['responses']['stream']>): Promise<Told> {
  const events: string[] = [];
  for await (const event of stream) events.push(event.type);
  return { events, final: await stream.finalResponse() };
}

/** By creation in the foreground and in the background, and by id after the end: the helper accepts it all. */
async function listenToAll(served: TestHolt, params: Omit<Params, 'stream'>, status: string): Promise<Told> {
  await listen(served.client.responses.stream({ ...params, background: false }));
  const created = await listen(served.client.responses.stream({ ...params, background: true }));
  const { id } = created.final;
  const replayed = await listen(served.client.responses.stream({ response_id: id }));
  assert.equal(created.final.status, status);
  assert.deepEqual(replayed.events, created.events);
  const { output_text: _, ...stored } = await served.client.responses.retrieve(id);
  for (const { final } of [created, replayed]) {
    assert.equal(final.output_text, textOf(final));
    assert.deepEqual(final.output.map(withoutParsed), stored.output);
    assert.deepEqual([final.usage, final.error, final.status], [stored.usage, stored.error, stored.status]);
  }
  return created;
}

/** The helper adds what it made of a text or of arguments. */
function withoutParsed(item: unknown): unknown {
  return JSON.parse(
    JSON.stringify(item, (key, value: unknown) => (key === 'parsed' || key === 'parsed_arguments' ? undefined : value)),
  );
}

describe('stream() accepts every kind of stream that Holt sends', () => {
  const said = (content: string): Step => ({ delta: { content } });
  const called = (index: number, args: string, id?: string): Step => ({
    delta: {
      tool_calls: [
        { index, ...(id && { id, type: 'function' }), function: { ...(id && { name: 'look' }), arguments: args } },
      ],
    },
  });
  const END: Step[] = [{ chunk: { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } } }, { done: true }];

  const scripted: [what: string, params: Omit<Params, 'stream'>, status: string, event: string][] = [
    ['text', body(), 'completed', 'response.output_text.delta'],
    ['nothing', body({ tokens: 0 }), 'completed', 'response.completed'],
    ['reasoning', body({ reasoning_tokens: 5 }), 'completed', 'response.reasoning_text.delta'],
    [
      'a tool call',
      { ...body({ tool_call: 'look' }), tools: [LOOK] },
      'completed',
      'response.function_call_arguments.done',
    ],
    ['a failure', body({ fail_after: 3 }), 'failed', 'response.failed'],
    ['an incomplete answer', { ...body({ tokens: 50 }), max_output_tokens: 16 }, 'incomplete', 'response.incomplete'],
  ];
  for (const [what, params, status, event] of scripted) {
    test(what, async () => {
      const { events } = await listenToAll(holt, params, status);
      assert.ok(events.includes(event), events.join(' '));
    });
  }

  test('a failure before anything was said', async () => {
    // In the foreground that is an HTTP error.
    const stream = holt.client.responses.stream({ ...body({ fail_after: 0 }), background: true });
    const { final } = await listen(stream);
    assert.deepEqual([final.status, final.output], ['failed', []]);
    assert.equal((await listen(holt.client.responses.stream({ response_id: final.id }))).final.status, 'failed');
  });

  const relayed: [what: string, script: UpstreamScript, status: string, check: (told: Told) => void][] = [
    [
      'a refusal',
      { steps: [{ delta: { refusal: 'I will' } }, { delta: { refusal: ' not.' } }, { finish: 'stop' }, ...END] },
      'completed',
      ({ events, final }) => {
        assert.ok(events.includes('response.refusal.done'));
        const [item] = final.output;
        assert.ok(item?.type === 'message' && item.content[0]?.type === 'refusal');
        assert.equal(item.content[0].refusal, 'I will not.');
      },
    ],
    [
      'text, then a refusal',
      { steps: [said('Well, '), { delta: { refusal: 'no.' } }, { finish: 'stop' }, ...END] },
      'completed',
      ({ final }) => assert.equal(final.output[0]?.type === 'message' && final.output[0].content.length, 2),
    ],
    [
      'parallel tool calls, one after the other and in turns',
      {
        steps: [
          said('Looking.'),
          called(0, '', 'call_a'),
          called(0, '{"at":'),
          called(1, '', 'call_b'),
          called(1, '{"at":"b"}'),
          called(0, '"a"}'),
          called(2, '', 'call_c'),
          { finish: 'tool_calls' },
          ...END,
        ],
      },
      'completed',
      ({ final }) => {
        const calls = final.output.flatMap((item) => (item.type === 'function_call' ? [item] : []));
        assert.deepEqual(
          calls.map((call) => [call.call_id, call.arguments, call.status]),
          [
            ['call_a', '{"at":"a"}', 'completed'],
            ['call_b', '{"at":"b"}', 'completed'],
            ['call_c', '{}', 'completed'],
          ],
        );
      },
    ],
    [
      'reasoning between texts',
      {
        steps: [
          { delta: { reasoning_content: 'Hm.' } },
          said('First.'),
          { delta: { reasoning_content: 'Hm, hm.' } },
          said('Second.'),
          { finish: 'stop' },
          ...END,
        ],
      },
      'completed',
      ({ final }) =>
        assert.deepEqual(
          final.output.map(({ type }) => type),
          ['reasoning', 'message', 'reasoning', 'message'],
        ),
    ],
    [
      'a content filter',
      { steps: [said('Once'), { finish: 'content_filter' }, ...END] },
      'incomplete',
      ({ final }) => assert.deepEqual(final.incomplete_details, { reason: 'content_filter' }),
    ],
    [
      'an upstream that dies in the middle of a tool call',
      { steps: [said('Once'), called(0, '{"at":', 'call_a'), { end: true }] },
      'failed',
      ({ final }) => assert.equal(final.error?.code, 'server_error'),
    ],
    [
      'citations',
      {
        steps: [
          said('See there.'),
          {
            delta: {
              annotations: [{ type: 'url_citation', url_citation: { url: 'https://otter.example', title: 'Otters' } }],
            },
          },
          { finish: 'stop' },
          ...END,
        ],
      },
      'completed',
      ({ final }) => {
        const [item] = final.output;
        const part = item?.type === 'message' ? item.content[0] : undefined;
        assert.equal(part?.type === 'output_text' && part.annotations.length, 1);
      },
    ],
  ];
  for (const [what, script, status, check] of relayed) {
    test(what, async () => {
      await upstream.script(what, script);
      check(await listenToAll(relay, { model: what, input: 'Hello', tools: [LOOK] }, status));
    });
  }

  test('a cancelled response, live and replayed', async () => {
    for (const script of [
      SILENT,
      { tokens: 500, interval_ms: 5 },
      { tokens: 0, reasoning_tokens: 500, interval_ms: 5 },
    ]) {
      const stream = holt.client.responses.stream({ ...body(script), background: true });
      const told = listen(stream);
      const { response } = await new Promise<OpenAI.Responses.ResponseInProgressEvent>((resolve) => {
        stream.on('response.in_progress', resolve);
      });
      if (script !== SILENT) await pollUntil(holt, response.id, ({ output }) => output.length > 0);
      const cancelled = await holt.client.responses.cancel(response.id);
      assert.equal(cancelled.status, 'cancelled');
      const replayed = listen(holt.client.responses.stream({ response_id: response.id }));
      for (const { final } of await Promise.all([told, replayed])) {
        assert.equal(final.status, 'cancelled');
        assert.deepEqual(final.output.map(withoutParsed), cancelled.output);
      }
    }
  });

  test('one that waited in the queue', async () => {
    await using small = await startHolt({ configure: (config) => (config.worker.concurrency = 1) });
    const ahead = await small.client.responses.create({ ...body(SILENT), background: true });
    const stream = small.client.responses.stream({ ...body(), background: true });
    stream.once('response.queued', () => void small.client.responses.cancel(ahead.id));
    assert.equal((await listen(stream)).final.status, 'completed');
  });

  test('one that was cancelled in the queue', async () => {
    await using small = await startHolt({ configure: (config) => (config.worker.concurrency = 1) });
    await small.client.responses.create({ ...body(SILENT), background: true });
    const stream = small.client.responses.stream({ ...body(), background: true });
    stream.once('response.queued', ({ response }) => void small.client.responses.cancel(response.id));
    const { events, final } = await listen(stream);
    assert.deepEqual(events, ['response.created', 'response.queued', 'response.failed']);
    assert.equal(final.status, 'cancelled');
  });
});

test('a tool round trip: the model calls, the program answers, the model goes on', async () => {
  const { client } = holt;
  const question = { role: 'user' as const, content: 'What is out there?' };
  const { input: _, ...asked } = body({ tool_call: 'look', tokens: 8 });
  const first = await client.responses.create({ ...asked, input: [question], tools: [LOOK] });
  const call = first.output.find((item) => item.type === 'function_call');
  assert.ok(call !== undefined);
  assert.deepEqual([first.output_text, call.name, call.status], ['', 'look', 'completed']);
  assert.doesNotThrow(() => JSON.parse(call.arguments));
  const second = await client.responses.create({
    ...asked,
    tools: [LOOK],
    background: true,
    input: [
      question,
      ...(first.output as OpenAI.Responses.ResponseInput),
      { type: 'function_call_output', call_id: call.call_id, output: 'a nebula' },
    ],
  });
  await pollUntil(holt, second.id);
  const final = await client.responses.retrieve(second.id);
  assert.equal(final.status, 'completed');
  assert.equal(final.output_text.split(' ').length, 8);
});

test('a tool round trip through a real upstream takes along what was said and thought', async () => {
  const { client } = relay;
  const call = { index: 0, id: 'call_7', type: 'function', function: { name: 'look', arguments: '{"at":"sky"}' } };
  await upstream.script('tripping', {
    steps: [
      { delta: { content: 'Let me look.' } },
      { delta: { tool_calls: [call] } },
      { finish: 'tool_calls' },
      { done: true },
    ],
  });
  const first = await client.responses.create({ model: 'tripping', input: 'What is out there?', tools: [LOOK] });
  await upstream.script('tripping', [{ delta: { content: 'A nebula.' } }, { finish: 'stop' }, { done: true }]);
  const second = await client.responses.create({
    model: 'tripping',
    instructions: 'Be brief.',
    tools: [LOOK],
    input: [
      { role: 'user', content: 'What is out there?' },
      ...(first.output as OpenAI.Responses.ResponseInput),
      { type: 'function_call_output', call_id: 'call_7', output: 'a nebula' },
    ],
  });
  assert.equal(second.output_text, 'A nebula.');
  const { messages } = (await upstream.requests('tripping')).at(-1)!.body as {
    messages: { role: string; tool_calls?: object[]; tool_call_id?: string }[];
  };
  assert.deepEqual(
    messages.map(({ role }) => role).filter((role, at, all) => role !== all[at - 1]),
    ['system', 'user', 'assistant', 'tool'],
  );
  assert.equal(messages.at(-1)?.tool_call_id, 'call_7');
});

test('a program that does not wait is told so by the client, and the response goes on', async () => {
  const served: Served = holt;
  const impatient = holt.client.withOptions({ timeout: 30 });
  await assert.rejects(
    impatient.responses.create({ ...body({ first_token_ms: 3_600_000 }), background: false }),
    OpenAI.APIConnectionTimeoutError,
  );
  const abort = new AbortController();
  const stream = holt.client.responses.stream(
    { ...body({ tokens: 30, interval_ms: 2 }), background: true },
    { signal: abort.signal },
  );
  const id = await new Promise<string>((resolve) => {
    stream.on('response.created', ({ response }) => resolve(response.id));
  });
  abort.abort();
  await assert.rejects(stream.done(), OpenAI.APIUserAbortError);
  assert.equal((await pollUntil(served, id)).status, 'completed');
});
