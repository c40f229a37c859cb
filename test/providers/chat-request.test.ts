import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { ApiError } from '../../server/src/domain/errors.ts';
import { buildRequest } from '../../server/src/providers/chat/build-request.ts';
import { checkRequest } from '../../server/src/providers/chat/check-request.ts';
import { unservedBy } from '../../server/src/providers/chat/unserved.ts';
import { inputItem } from '../../server/src/protocol/items.ts';
import type { InputItem } from '../../server/src/protocol/items.ts';
import { collect, errorOf, openProvider, requestOf, textOf, turnFor } from '../support/chat-run.ts';
import { startUpstream } from '../support/upstream.ts';

/** What a Responses request becomes on its way to Chat Completions, and what can't become anything. */

const upstream = await startUpstream();
after(() => upstream.stop());

type Dialect = 'generic' | 'openai';

/** Both through the schemas of the wire, so that no test asks for what can't come in. */
function build(request: object, items: unknown[] = [], dialect: Dialect = 'generic') {
  const turn = turnFor('m', {
    instructions: null,
    items: parse(items),
    request: requestOf({ model: 'm', ...request }),
  });
  return buildRequest(turn, dialect);
}

function parse(items: unknown[]): InputItem[] {
  return items.map((item) => inputItem.parse(item));
}

function messagesOf(items: unknown[], dialect: Dialect = 'generic'): unknown {
  return build({}, items, dialect)['messages'];
}

const user = (content: unknown) => ({ role: 'user', content });
const call = (id: string, name = 'f', args = '{}') => ({ type: 'function_call', call_id: id, name, arguments: args });
const output = (id: string, value: unknown = `${id} says`) => ({
  type: 'function_call_output',
  call_id: id,
  output: value,
});
const calls = (...ids: string[]) =>
  ids.map((id) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } }));
const tool = (id: string) => ({ role: 'tool', tool_call_id: id, content: `${id} says` });

// ---------------------------------------------------------------- fields

test('a bare request sends what it must and no nulls', () => {
  const nulls = { temperature: null, top_p: null, tools: null, tool_choice: null, reasoning: null, text: null };
  assert.deepEqual(build({ ...nulls, max_output_tokens: null, parallel_tool_calls: null }, [user('Hi')]), {
    model: 'm',
    messages: [{ role: 'user', content: 'Hi' }],
    stream: true,
    stream_options: { include_usage: true },
  });
});

const fields: [string, object, object][] = [
  ['max_output_tokens', { max_output_tokens: 100 }, { max_tokens: 100 }],
  ['temperature and top_p, also 0', { temperature: 0, top_p: 0 }, { temperature: 0, top_p: 0 }],
  ['reasoning.effort', { reasoning: { effort: 'none', summary: 'auto' } }, { reasoning_effort: 'none' }],
  [
    'logprobs by include',
    { include: ['message.output_text.logprobs'], top_logprobs: 3 },
    { logprobs: true, top_logprobs: 3 },
  ],
  ['top_logprobs alone', { top_logprobs: 3 }, {}],
  ['text.format text', { text: { format: { type: 'text' }, verbosity: 'medium' } }, {}],
  [
    'text.format json_object',
    { text: { format: { type: 'json_object' } } },
    { response_format: { type: 'json_object' } },
  ],
  [
    'text.format json_schema',
    { text: { format: { type: 'json_schema', name: 'n', schema: { type: 'object' }, strict: true } } },
    {
      response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'object' }, strict: true } },
    },
  ],
  [
    'what is ours',
    { metadata: { a: 'b' }, store: true, background: true, stream: true, previous_response_id: 'resp_1' },
    {},
  ],
  ['hints to OpenAI', { user: 'u', prompt_cache_key: 'k', safety_identifier: 's', service_tier: 'auto' }, {}],
];
for (const [title, request, expected] of fields) {
  test(`field: ${title}`, () => {
    const sent = build(request);
    for (const key of ['model', 'messages', 'stream', 'stream_options']) delete sent[key];
    assert.deepEqual(sent, expected);
  });
}

test('the dialect of OpenAI has its own names and fields', () => {
  const sent = build(
    {
      max_output_tokens: 100,
      text: { verbosity: 'low' },
      service_tier: 'flex',
      user: 'u',
      prompt_cache_key: 'k',
      safety_identifier: 's',
    },
    [{ role: 'developer', content: 'Be brief' }],
    'openai',
  );
  assert.deepEqual(sent, {
    model: 'm',
    messages: [{ role: 'developer', content: 'Be brief' }],
    stream: true,
    stream_options: { include_usage: true },
    max_completion_tokens: 100,
    verbosity: 'low',
    service_tier: 'flex',
    user: 'u',
    prompt_cache_key: 'k',
    safety_identifier: 's',
  });
});

test('the end of a cached prefix goes to OpenAI, and to nobody else', () => {
  const mark = { prompt_cache_breakpoint: { mode: 'explicit' } };
  const items = [
    user([{ type: 'input_text', text: 'long', ...mark }]),
    call('c'),
    output('c', [
      { type: 'input_text', text: 'a', ...mark },
      { type: 'input_image', image_url: 'https://x/y.png', ...mark },
    ]),
  ];
  const [asked, , told, shown] = messagesOf(items, 'openai') as { content: unknown }[];
  assert.deepEqual(asked?.content, [{ type: 'text', text: 'long', ...mark }]);
  assert.deepEqual(told?.content, [{ type: 'text', text: 'a', ...mark }]);
  assert.deepEqual(shown?.content, [{ type: 'image_url', image_url: { url: 'https://x/y.png' }, ...mark }]);
  assert.ok(!JSON.stringify(messagesOf(items)).includes('breakpoint'));
});

test('instructions are the first message', () => {
  const turn = turnFor('m', { instructions: 'Be kind' });
  const first = { role: 'system', content: 'Be kind' };
  assert.deepEqual(buildRequest(turn, 'generic')['messages'], [first, { role: 'user', content: 'Hi' }]);
  assert.deepEqual((buildRequest(turn, 'openai')['messages'] as unknown[])[0], { ...first, role: 'developer' });
});

// ---------------------------------------------------------------- items

test('messages keep their role; a developer is a system to a generic server', () => {
  assert.deepEqual(
    messagesOf([
      { role: 'developer', content: 'a' },
      { type: 'message', role: 'system', content: 'b' },
      user([{ type: 'input_text', text: 'c' }]),
      user([
        { type: 'input_text', text: 'd' },
        { type: 'input_text', text: 'e' },
      ]),
    ]),
    [
      { role: 'system', content: 'a' },
      { role: 'system', content: 'b' },
      { role: 'user', content: 'c' },
      { role: 'user', content: 'd\ne' },
    ],
  );
});

test('text parts stay parts for OpenAI', () => {
  const parts = [
    { type: 'input_text', text: 'd' },
    { type: 'input_text', text: 'e' },
  ];
  assert.deepEqual(messagesOf([user(parts)], 'openai'), [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'd' },
        { type: 'text', text: 'e' },
      ],
    },
  ]);
});

test('images keep their URL; the detail `original` is `high`', () => {
  const images = [
    { type: 'input_text', text: 'look' },
    { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'original' },
    { type: 'input_image', image_url: 'https://a.test/b.png' },
  ];
  assert.deepEqual(messagesOf([user(images)]), [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'look' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==', detail: 'high' } },
        { type: 'image_url', image_url: { url: 'https://a.test/b.png' } },
      ],
    },
  ]);
});

test('the text and the calls of one turn are one assistant message, in either order', () => {
  const said = {
    role: 'assistant',
    content: [
      { type: 'output_text', text: 'Let me ' },
      { type: 'output_text', text: 'see' },
    ],
  };
  const expected = [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Let me see', tool_calls: calls('a', 'b') },
    tool('a'),
    tool('b'),
  ];
  assert.deepEqual(messagesOf([user('Hi'), said, call('a'), call('b'), output('a'), output('b')]), expected);
  assert.deepEqual(messagesOf([user('Hi'), call('a'), said, call('b'), output('a'), output('b')]), expected);
});

test('outputs follow their calls, in the order of the calls, wherever they are', () => {
  assert.deepEqual(
    messagesOf([user('Hi'), call('a'), call('b'), output('b'), user('wait'), output('a'), user('so?')]),
    [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: '', tool_calls: calls('a', 'b') },
      tool('a'),
      tool('b'),
      { role: 'user', content: 'wait' },
      { role: 'user', content: 'so?' },
    ],
  );
});

test('calls of one turn after the other are two assistant messages', () => {
  assert.deepEqual(messagesOf([call('a'), output('a'), call('b'), output('b')]), [
    { role: 'assistant', content: '', tool_calls: calls('a') },
    tool('a'),
    { role: 'assistant', content: '', tool_calls: calls('b') },
    tool('b'),
  ]);
});

test('a call id may come back in a later turn', () => {
  assert.deepEqual(messagesOf([call('a'), output('a', 'one'), user('again'), call('a'), output('a', 'two')]), [
    { role: 'assistant', content: '', tool_calls: calls('a') },
    { ...tool('a'), content: 'one' },
    { role: 'user', content: 'again' },
    { role: 'assistant', content: '', tool_calls: calls('a') },
    { ...tool('a'), content: 'two' },
  ]);
});

test('what a tool shows comes after the last tool message', () => {
  const shown = [
    { type: 'input_text', text: 'one' },
    { type: 'input_image', image_url: 'https://a.test/b.png' },
    { type: 'input_text', text: 'two' },
  ];
  assert.deepEqual(messagesOf([call('a'), call('b'), output('a', shown), output('b')]), [
    { role: 'assistant', content: '', tool_calls: calls('a', 'b') },
    { ...tool('a'), content: 'one\ntwo' },
    tool('b'),
    { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://a.test/b.png' } }] },
  ]);
});

test('a refusal is text, and a field of its own for OpenAI', () => {
  const refused = { role: 'assistant', content: [{ type: 'refusal', refusal: 'No' }] };
  assert.deepEqual(messagesOf([refused]), [{ role: 'assistant', content: 'No' }]);
  assert.deepEqual(messagesOf([refused], 'openai'), [{ role: 'assistant', content: '', refusal: 'No' }]);
});

test('thoughts go back only within the tool loop that is going on', () => {
  const thought = (text: string) => ({ type: 'reasoning', summary: [], content: [{ type: 'reasoning_text', text }] });
  const items = [
    user('one'),
    thought('old'),
    call('a'),
    output('a'),
    { role: 'assistant', content: 'done' },
    user('two'),
    thought('new'),
    call('b'),
    output('b'),
  ];
  const expected = (reasoning: object) => [
    { role: 'user', content: 'one' },
    { role: 'assistant', content: '', tool_calls: calls('a') },
    tool('a'),
    { role: 'assistant', content: 'done' },
    { role: 'user', content: 'two' },
    { role: 'assistant', content: '', ...reasoning, tool_calls: calls('b') },
    tool('b'),
  ];
  assert.deepEqual(messagesOf(items), expected({ reasoning_content: 'new' }));
  assert.deepEqual(messagesOf(items, 'openai'), expected({}));
});

test('a thought without text is told by its summary', () => {
  const thought = { type: 'reasoning', summary: [{ type: 'summary_text', text: 'short' }] };
  assert.deepEqual(messagesOf([thought, call('a'), output('a')]), [
    { role: 'assistant', content: '', reasoning_content: 'short', tool_calls: calls('a') },
    tool('a'),
  ]);
});

// ---------------------------------------------------------------- tools

const tools = [
  { type: 'function', name: 'f', description: 'does f', parameters: { type: 'object' }, strict: true },
  { type: 'function', name: 'g', parameters: null },
];

test('functions are nested; `strict` is for OpenAI', () => {
  const f = { name: 'f', description: 'does f', parameters: { type: 'object' } };
  const g = { type: 'function', function: { name: 'g', parameters: { type: 'object', properties: {} } } };
  assert.deepEqual(build({ tools })['tools'], [{ type: 'function', function: f }, g]);
  assert.deepEqual(build({ tools }, [], 'openai')['tools'], [
    { type: 'function', function: { ...f, strict: true } },
    g,
  ]);
});

test('without tools nothing about tools is sent', () => {
  const sent = build({ tools: [], tool_choice: 'auto', parallel_tool_calls: false });
  assert.deepEqual(
    ['tools', 'tool_choice', 'parallel_tool_calls'].filter((key) => key in sent),
    [],
  );
});

test('parallel_tool_calls is sent when it was said', () => {
  assert.equal(build({ tools, parallel_tool_calls: false })['parallel_tool_calls'], false);
  assert.equal('parallel_tool_calls' in build({ tools }), false);
});

test('tool choices', () => {
  const choose = (choice: unknown, dialect: Dialect = 'generic') => {
    const sent = build({ tools, tool_choice: choice }, [], dialect);
    return [sent['tool_choice'], (sent['tools'] as unknown[]).length];
  };
  const allowed = { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'g' }] };
  const named = (name: string) => ({ type: 'function', function: { name } });
  assert.deepEqual(choose('required'), ['required', 2]);
  assert.deepEqual(choose({ type: 'function', name: 'g' }), [named('g'), 2]);
  assert.deepEqual(choose(allowed), ['required', 1]);
  assert.deepEqual(choose(allowed, 'openai'), [
    { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [named('g')] } },
    2,
  ]);
});

// ---------------------------------------------------------------- refusals

const AUDIO = { type: 'input_audio', input_audio: { data: 'AA==', format: 'wav' } };
const PDF = 'data:application/pdf;base64,JVBERi0=';
const refusals: [string, object, unknown[], string, string][] = [
  [
    'a file without its data',
    {},
    [user([{ type: 'input_file' }])],
    'input[0].content[0].file_data',
    'missing_required_parameter',
  ],
  [
    'audio',
    {},
    [user('Hi'), user([{ type: 'input_text', text: 'x' }, AUDIO])],
    'input[1].content[1].type',
    'unsupported_value',
  ],
  [
    'an uploaded image',
    {},
    [user([{ type: 'input_image', file_id: 'file-1' }])],
    'input[0].content[0].file_id',
    'unsupported_parameter',
  ],
  [
    'an image without a source',
    {},
    [user([{ type: 'input_image' }])],
    'input[0].content[0].image_url',
    'missing_required_parameter',
  ],
  [
    'an image in a system message',
    {},
    [{ role: 'system', content: [{ type: 'input_image', image_url: 'https://a.test/' }] }],
    'input[0].content[0].type',
    'unsupported_value',
  ],
  [
    'a file a tool gave back',
    {},
    [call('a'), output('a', [{ type: 'input_file', file_data: PDF }])],
    'input[1].output[0].file_data',
    'unsupported_value',
  ],
  ['verbosity', { text: { verbosity: 'low' } }, [], 'text.verbosity', 'unsupported_value'],
];
for (const [title, request, items, param, code] of refusals) {
  test(`refused: ${title}`, () => {
    const { body } = refusalOf(request, items);
    assert.deepEqual([body.error.param, body.error.code], [param, code]);
  });
}

test('refused: a call without output, and an output without call', () => {
  assert.equal(refusalOf({}, [call('a')]).body.error.message, 'No tool output found for function call a.');
  assert.equal(
    refusalOf({}, [output('a'), call('a')]).body.error.message,
    'No tool call found for function call output with call_id a.',
  );
});

test('OpenAI takes verbosity and service tiers', () => {
  const request = requestOf({ text: { verbosity: 'low' }, service_tier: 'flex' });
  assert.deepEqual(unservedBy('openai', request), []);
  checkRequest(request, [], [], 'openai');
});

function refusalOf(request: object, items: unknown[]): ApiError {
  try {
    const [unserved] = unservedBy('generic', requestOf(request));
    if (unserved !== undefined) return unserved.error();
    checkRequest(requestOf(request), parse(items), [], 'generic');
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

// ---------------------------------------------------------------- on the wire

test('the request goes to the base URL with our key and our headers', async () => {
  await using provider = openProvider(`${upstream.url}/`, { apiKey: 'sk-ours' });
  await collect(provider, turnFor('wire', { idempotencyKey: 'resp_7-0' }));
  const request = await upstream.waitForRequest('wire');
  assert.equal(request.path, '/v1/chat/completions');
  assert.equal(request.headers['authorization'], 'Bearer sk-ours');
  assert.equal(request.headers['idempotency-key'], 'resp_7-0');
  assert.equal(request.headers['content-type'], 'application/json');
  assert.equal(request.body['model'], 'wire');
});

test('without a key there is no authorization', async () => {
  await using provider = openProvider(upstream.url);
  await collect(provider, turnFor('keyless'));
  assert.equal('authorization' in (await upstream.waitForRequest('keyless')).headers, false);
});

test('a server that refuses stream_options is not sent them again', async () => {
  await using provider = openProvider(upstream.url);
  const refusal = {
    status: 422,
    body: { detail: [{ loc: ['body', 'stream_options'], msg: 'Extra inputs are not permitted' }] },
  };
  await upstream.script('strict', {
    first: [refusal],
    steps: [{ delta: { content: 'ok' } }, { finish: 'stop' }, { done: true }],
  });
  assert.equal(textOf(await collect(provider, turnFor('strict'))), 'ok');
  assert.equal(textOf(await collect(provider, turnFor('strict'))), 'ok');
  const bodies = (await upstream.requests('strict')).map((request) => 'stream_options' in request.body);
  assert.deepEqual(bodies, [true, false, false]);
});

test('parallel_tool_calls is left out if a server refuses it, unless the client wants one call at a time', async () => {
  const refusal = { status: 400, body: { error: { message: 'Unknown field', param: 'parallel_tool_calls' } } };
  const asked = (model: string, parallel: boolean) =>
    turnFor(model, { request: requestOf({ tools, parallel_tool_calls: parallel }) });
  await using provider = openProvider(upstream.url);
  await upstream.script('one-call', { reply: refusal });
  const error = errorOf(await collect(provider, asked('one-call', false)));
  assert.deepEqual([error.row, error.param], ['upstream_rejected', 'parallel_tool_calls']);
  assert.equal((await upstream.requests('one-call')).length, 1);
  await upstream.script('many-calls', { first: [refusal], steps: [{ delta: { content: 'ok' } }, { finish: 'stop' }] });
  assert.equal(textOf(await collect(provider, asked('many-calls', true))), 'ok');
});

test('models are listed as ours, and none when the upstream has no list', async () => {
  await using provider = openProvider(upstream.url);
  await upstream.script('listed', []);
  const models = await provider.models(AbortSignal.timeout(10_000));
  const listed = models.find((model) => model.id === 'listed');
  assert.deepEqual(listed, { id: 'listed', object: 'model', created: 1_700_000_000, owned_by: 'script' });
  await using wrong = openProvider(upstream.url.replace('/v1', '/v2'));
  assert.deepEqual(await wrong.models(AbortSignal.timeout(10_000)), []);
  assert.deepEqual(await provider.models(AbortSignal.abort()), []);
});
