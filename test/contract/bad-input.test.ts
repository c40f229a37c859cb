import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import {
  RawClient,
  assertError,
  call,
  cancel,
  create,
  get,
  otter,
  parseAnswer,
  post,
  remove,
  responseIn,
} from './wire.ts';
import type { Answer, ExpectedError } from './wire.ts';

/** What a client may send by mistake or malice: always an answer that says what is wrong, never a 5xx. */

let holt: TestHolt;
/** Knows one model by name. */
let named: TestHolt;
let strict: TestHolt;
/** In front of an upstream that nobody asks. */
let relay: TestHolt;
before(async () => {
  [holt, named, strict, relay] = await Promise.all([
    startHolt({ configure: (config) => (config.server.body_limit = 24 * 1024 * 1024) }),
    startHolt({ configure: (config) => (config.models = { otter: { provider: 'otter' } }) }),
    startHolt({ configure: (config) => (config.server.strict = true) }),
    startHolt({ flags: ['--upstream', 'http://127.0.0.1:9/v1'] }),
  ]);
});
after(async () => {
  assert.equal((await create(holt, otter())).status, 'completed', 'it still serves');
  await Promise.all([holt.stop(), named.stop(), strict.stop(), relay.stop()]);
});

type Row = [what: string, over: Record<string, unknown>, expected: ExpectedError];

/** A test for each row of a table of bodies that are a 400. */
function refuses(rows: Row[]): void {
  for (const [what, over, expected] of rows) {
    test(what, async () => {
      for (const background of 'background' in over ? [undefined] : [true, false]) {
        const body = otter({}, background === undefined ? over : { background, ...over });
        assertError(await post(holt, body), 400, { type: 'invalid_request_error', ...expected });
      }
    });
  }
}

const invalidType = (param: string): ExpectedError => ({ code: 'invalid_type', param, message: /Invalid type for/ });
const unsupported = (param: string): ExpectedError => ({
  code: 'unsupported_parameter',
  param,
  message: /Unsupported parameter/,
});

// ---------------------------------------------------------------- bodies

describe('a body that is not a JSON object is refused', () => {
  const bodies: Record<string, string> = {
    empty: '',
    blank: ' \n ',
    'not JSON': '{"model": otter}',
    'cut off': '{"model":"otter","input":"Hel',
    'two objects': '{}{}',
    'an array': '[{"model":"otter","input":"Hello"}]',
    'a text': '"otter"',
    'a number': '42',
    null: 'null',
    true: 'true',
    'a form': 'model=otter&input=Hello',
    'a byte order mark': '\ufeff{',
    NaN: '{"temperature":NaN}',
    'single quotes': "{'model':'otter'}",
  };
  for (const [what, body] of Object.entries(bodies)) {
    test(what, async () => {
      for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded']) {
        assertError(await post(holt, body, { 'content-type': type }), 400, {
          type: 'invalid_request_error',
          code: null,
          param: null,
          message: /^We could not parse the JSON body of your request\./,
        });
      }
    });
  }
});

test('a type that is an object with a toString of its own is refused as any other', async () => {
  const item = { type: { toString: true }, role: 'user', content: 'Hello' };
  assertError(await post(holt, otter({}, { input: [item] })), 400, {
    code: 'unsupported_value',
    param: 'input[0].type',
    message: /\{"toString":true\}/,
  });
});

test('a list that is too long or too short is refused by its length, whatever is in it', async () => {
  const { id } = JSON.parse((await post(holt, {}, {}, 'conversations')).text) as { id: string };
  const refused = (items: unknown[]): Promise<Answer> => post(holt, { items }, {}, `conversations/${id}/items`);
  assertError(await refused(Array.from({ length: 21 }, () => ({ toString: 1 }))), 400, {
    code: 'array_above_max_length',
    param: 'items',
    message: /array too long\. Expected an array with maximum length 20, but got an array with length 21 instead\.$/,
  });
  assertError(await refused([]), 400, { code: 'array_below_min_length', param: 'items' });
});

test('null is no object, also where an empty body will do', async () => {
  for (const path of [
    'conversations',
    'responses/input_tokens',
    'responses/compact',
    'webhook_endpoints',
    'webhook_endpoints/whe_1',
    'webhook_endpoints/whe_1/rotate_secret',
    'webhook_endpoints/whe_1/test',
  ]) {
    assertError(await post(holt, 'null', {}, path), 400, { code: null, param: null, message: /but got null\.?\)$/ });
  }
  assert.equal((await post(holt, '', {}, 'conversations')).status, 200);
});

test('a JSON body is read whatever its content type says', async () => {
  const types = ['text/plain', 'application/json; charset=utf-8', 'APPLICATION/JSON', 'application/octet-stream'];
  for (const type of types) {
    assert.equal(responseIn(await post(holt, otter(), { 'content-type': type })).status, 'completed', type);
  }
  const bytes = new TextEncoder().encode(JSON.stringify(otter()));
  const untyped = await call('POST', `${holt.url}/v1/responses`, { body: bytes });
  assert.equal(responseIn(untyped).status, 'completed');
});

test('a content type that is none is refused, or overlooked, in JSON', async () => {
  for (const type of [';;', '/', 'a/b/c', '"', 'application/json; charset=utf-7']) {
    const answer = await post(holt, otter(), { 'content-type': type });
    if (answer.status === 200) continue;
    assertError(answer, 400, { type: 'invalid_request_error' });
  }
});

test('a body over the limit is a 413', async () => {
  await using small = await startHolt({ configure: (config) => (config.server.body_limit = 4_096) });
  const expected = { type: 'invalid_request_error', code: 'request_too_large', param: null };
  const large = { input: 'x'.repeat(5_000) };
  assertError(await post(small, otter({}, large)), 413, expected);
  const { id } = await create(small, otter({}, { background: true, input: 'x'.repeat(3_000) }));
  for (const [method, path] of [
    ['POST', `${id}/cancel`],
    ['DELETE', id],
  ] as const) {
    const url = `${small.url}/v1/responses/${path}`;
    assertError(await call(method, url, { body: 'x'.repeat(5_000) }), 413, expected);
  }
  // Without a length it shows only on the way.
  const chunked = await RawClient.open(small);
  chunked.send('POST /v1/responses HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json');
  for (let chunk = 0; chunk < 8; chunk += 1) chunked.socket.write(`400\r\n${' '.repeat(1_024)}\r\n`);
  await chunked.until((bytes) => bytes.includes('request_too_large'));
  assert.equal(parseAnswer(chunked.bytes).status, 413);
  chunked.leave();
  assert.equal((await create(small, otter())).status, 'completed');
});

test('deep nesting is refused, wherever it is', async () => {
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
  const objects = `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`;
  for (const body of [
    deep,
    objects,
    `{"model":"otter","input":${deep}}`,
    `{"model":"otter","input":"x","whatever":${objects}}`,
    `{"model":"otter","input":"x","tools":[{"type":"function","name":"f","parameters":${objects}}]}`,
  ]) {
    assertError(await post(holt, body), 400, { code: null, message: /nested deeper than/ });
  }
});

test('huge texts and long lists are taken or refused by their size', async () => {
  const limit = 10_485_760;
  assert.equal((await create(holt, otter({}, { input: 'x'.repeat(limit) }))).status, 'completed');
  assertError(await post(holt, otter({}, { input: 'x'.repeat(limit + 1) })), 400, {
    code: 'string_above_max_length',
    param: 'input',
    message: /maximum length 10485760, but got a string with length 10485761/,
  });
  assert.equal((await create(holt, otter({}, { instructions: 'x'.repeat(1_000_000) }))).status, 'completed');
  const model = 'm'.repeat(100_000);
  assertError(await post(named, otter({}, { model })), 400, { code: 'model_not_found', param: 'model' });
});

test('bytes that are no UTF-8 are refused or replaced, never a fault', async () => {
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80], [0x00]]) {
    const json = Buffer.from(JSON.stringify(otter({}, { input: 'HERE' }))).toString('latin1');
    const body = Buffer.from(json.replace('HERE', Buffer.from(bytes).toString('latin1')), 'latin1');
    const answer = await post(holt, body);
    if (answer.status === 200) continue;
    assertError(answer, 400, { type: 'invalid_request_error' });
  }
});

describe('more than anybody sends is refused before it is looked at', () => {
  const items = Array.from({ length: 10_001 }, () => ({ role: 'user', content: 'x' }));
  const parts = Array.from({ length: 2_049 }, () => ({ type: 'input_text', text: 'x' }));
  const thoughts = parts.map(() => ({ type: 'reasoning_text', text: 'x' }));
  const long = 'x'.repeat(1_025);
  const above = { code: 'array_above_max_length' };
  refuses([
    ['items', { input: items }, { ...above, param: 'input' }],
    ['parts of a message', { input: [{ role: 'user', content: parts }] }, { ...above, param: 'input[0].content' }],
    [
      'parts of an output',
      { input: [{ type: 'function_call_output', call_id: 'c', output: parts }] },
      { ...above, param: 'input[0].output' },
    ],
    ['thoughts', { input: [{ type: 'reasoning', content: thoughts }] }, { ...above, param: 'input[0].content' }],
    [
      'an id',
      { input: [{ role: 'user', content: 'x', id: long }] },
      { code: 'string_above_max_length', param: 'input[0].id' },
    ],
    [
      'tools',
      { tools: items.map((_, index) => ({ type: 'function', name: `f${index}` })) },
      { ...above, param: 'tools' },
    ],
    [
      'half a character in an id',
      { input: [{ role: 'user', content: 'x', id: 'msg_\ud800' }] },
      { code: 'invalid_value', param: 'input[0].id' },
    ],
    ['no name of a conversation', { conversation: '' }, { code: 'string_below_min_length', param: 'conversation' }],
    [
      'no id of a conversation',
      { conversation: { id: '' } },
      { code: 'string_below_min_length', param: 'conversation.id' },
    ],
  ]);

  test('as many as that are served', async () => {
    const made = await create(holt, otter({ tokens: 1 }, { input: items.slice(1) }));
    const page = await holt.client.responses.inputItems.list(made.id, { limit: 100 });
    assert.equal(page.data.length, 100);
    assert.ok(page.has_more);
  });
});

test('an object with more keys than anybody has is refused as a whole', async () => {
  const metadata = Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`k${index}`, 'x']));
  assertError(await post(holt, otter({}, { metadata })), 400, { message: /more than 10000 keys/ });
});

describe('what an endpoint beside the responses does not know', () => {
  const cases: [path: string, body: object, key: string][] = [
    ['responses/compact', { model: 'otter', input: 'x', conversation: 'conv_1' }, 'conversation'],
    ['responses/compact', { model: 'otter', input: 'x', stream: true }, 'stream'],
    ['responses/compact', { model: 'otter', input: 'x', background: true }, 'background'],
    ['responses/compact', { model: 'otter', input: 'x', store: true }, 'store'],
    ['responses/input_tokens', { model: 'otter', input: 'x', stream: true }, 'stream'],
    ['conversations', { messages: [] }, 'messages'],
  ];
  for (const [path, body, key] of cases) {
    test(`${key} for ${path} is refused, since it promises something`, async () => {
      assertError(await post(holt, body, {}, path), 400, { code: 'unknown_parameter', param: key });
    });
  }

  test('promises nothing when it is switched off', async () => {
    const body = { model: 'otter', input: 'x', stream: false, store: null };
    assert.equal((await post(holt, body, {}, 'responses/compact')).status, 200);
  });

  test('is refused by a strict server, also for conversations', async () => {
    const { id } = await strict.client.conversations.create();
    const add = { items: [{ role: 'user', content: 'x' }] };
    for (const [path, body] of [
      ['conversations', {}],
      [`conversations/${id}`, { metadata: {} }],
      [`conversations/${id}/items`, add],
    ] as const) {
      const refused = await post(strict, { ...body, colour: 'red' }, {}, path);
      assertError(refused, 400, { code: 'unknown_parameter', param: 'colour' });
      assert.equal((await post(strict, body, {}, path)).status, 200);
    }
  });

  test('is refused where a response would refuse it', async () => {
    const input = [{ role: 'user', content: [{ type: 'input_file', file_id: 'file_1' }] }];
    const body = { model: 'm', input };
    const refused = await post(relay, body, {}, 'responses/input_tokens');
    assertError(refused, 400, { param: 'input[0].content[0].file_id' });
    const pro = { model: 'm', input: 'x', reasoning: { mode: 'pro' } };
    assertError(await post(relay, pro, {}, 'responses/input_tokens'), 400, { param: 'reasoning.mode' });
    const lonely = { model: 'm', input: [{ type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' }] };
    assert.equal((await post(relay, lonely, {}, 'responses/input_tokens')).status, 200, 'in the middle of a turn');
  });

  test('a personality is refused by its name', async () => {
    const body = { model: 'otter', input: 'x', personality: 'witty' };
    const refused = await post(holt, body, {}, 'responses/input_tokens');
    assertError(refused, 400, unsupported('personality'));
    assert.equal((await post(holt, { ...body, personality: null }, {}, 'responses/input_tokens')).status, 200);
  });
});

test('NUL, half characters and prototype names are text like any other', async () => {
  const odd = ['\\u0000', '\\ud83d', '\\udda6\\ud83d', '\\u2028', '__proto__', 'constructor', '\\uffff'];
  for (const text of odd) {
    const body = `{"model":"otter","input":[{"role":"user","content":"${text}"}],"instructions":"${text}",
      "user":"${text}","metadata":{"${text === '__proto__' ? 'proto' : text}":"${text}","scripted.tokens":"1",
      "scripted.first_token_ms":"0","scripted.interval_ms":"0"},"background":true}`;
    const made = responseIn(await post(holt, body));
    const expected = JSON.parse(`"${text}"`) as string;
    assert.equal(made.instructions, expected, text);
    const items = await get(holt, `responses/${made.id}/input_items`);
    const [item] = (JSON.parse(items.text) as { data: { content: { text: string }[] }[] }).data;
    assert.equal(item?.content[0]?.text, expected, text);
  }
});

test('prototype keys change nothing', async () => {
  const poison = '"__proto__":{"polluted":true,"background":true},"constructor":{"prototype":{"polluted":true}}';
  const body = `{"model":"otter","input":[{"role":"user","content":"x",${poison}}],
    "metadata":{"scripted.first_token_ms":"0","scripted.interval_ms":"0","scripted.tokens":"1"},${poison}}`;
  const made = responseIn(await post(holt, body));
  assert.equal(made.background, false);
  assert.equal(
    (await post(holt, body.replace('"metadata":{', '"metadata":{"__proto__":"x","toString":"y",'))).status,
    200,
  );
  assert.ok(!('polluted' in {}));
  assertError(await post(holt, otter({}, { tool_choice: { type: 'function', name: '__proto__' } })), 400);
  assertError(await post(named, otter({}, { model: '__proto__' })), 400, { code: 'model_not_found' });
  assertError(await post(named, otter({}, { model: 'constructor' })), 400, { code: 'model_not_found' });
});

// ---------------------------------------------------------------- fields

describe('a field of a wrong type is refused by name', () => {
  /** For each field, values that are of no type it takes. */
  const wrong: Record<string, unknown[]> = {
    model: [1, true, {}, ['otter']],
    input: [1, true, {}],
    instructions: [1, [], {}],
    background: ['true', 1, {}, []],
    store: ['false', 0, {}],
    stream: ['x', 1, []],
    stream_options: ['x', 1, []],
    previous_response_id: [1, {}, []],
    conversation: [1, true],
    include: ['message.output_text.logprobs', {}, 1],
    metadata: ['x', 1, []],
    max_output_tokens: ['16', true, {}, 16.5],
    max_tool_calls: ['1', true, 1.5],
    parallel_tool_calls: ['true', 1],
    temperature: ['1', true, {}],
    top_p: ['1', [], {}],
    top_logprobs: ['1', true, 0.5],
    tools: [{}, 'x', 1],
    tool_choice: [1, true, []],
    text: ['x', 1, []],
    reasoning: ['high', 1, []],
    truncation: [1, true, {}],
    service_tier: [1, {}],
    prompt_cache_key: [1, {}],
    prompt_cache_options: ['x', 1],
    prompt_cache_retention: [1, {}],
    safety_identifier: [1, {}],
    user: [1, {}],
  };
  for (const [field, values] of Object.entries(wrong)) {
    test(field, async () => {
      for (const value of values) {
        const answer = await post(holt, otter({}, { [field]: value }));
        assertError(answer, 400, { ...invalidType(field), type: 'invalid_request_error' });
        assert.match(answer.text, /expected .+, but got (an?|null|true|false) ?.* instead/);
      }
    });
  }
});

describe('a wrong type deep inside is refused with its path', () => {
  refuses([
    ['an item', { input: ['x'] }, invalidType('input[0]')],
    [
      'an item without a type',
      { input: [{ content: 'x' }] },
      { param: 'input[0].type', code: 'missing_required_parameter' },
    ],
    ['a role', { input: [{ role: 1, content: 'x' }] }, invalidType('input[0].role')],
    [
      'an unknown role',
      { input: [{ role: 'robot', content: 'x' }] },
      { param: 'input[0].role', code: 'invalid_value' },
    ],
    ['no content', { input: [{ role: 'user' }] }, { param: 'input[0].content', code: 'missing_required_parameter' }],
    ['content', { input: [{ role: 'user', content: 1 }] }, invalidType('input[0].content')],
    [
      'the second part',
      {
        input: [
          {
            role: 'user',
            content: [
              { type: 'input_text', text: 'x' },
              { type: 'input_text', text: 1 },
            ],
          },
        ],
      },
      invalidType('input[0].content[1].text'),
    ],
    [
      'a part of an unknown type',
      { input: [{ role: 'user', content: [{ type: 'smell' }] }] },
      { param: 'input[0].content[0].type' },
    ],
    [
      'a call without an id',
      { input: [{ type: 'function_call', name: 'f', arguments: '{}' }] },
      { param: 'input[0].call_id', code: 'missing_required_parameter' },
    ],
    [
      'an output',
      { input: [{ type: 'function_call_output', call_id: 'c', output: 1 }] },
      invalidType('input[0].output'),
    ],
    [
      'a tool without a name',
      { tools: [{ type: 'function' }] },
      { param: 'tools[0].name', code: 'missing_required_parameter' },
    ],
    [
      'a name of a tool',
      { tools: [{ type: 'function', name: 'no spaces' }] },
      { param: 'tools[0].name', code: 'invalid_value' },
    ],
    [
      'parameters of a tool',
      { tools: [{ type: 'function', name: 'f', parameters: 'x' }] },
      invalidType('tools[0].parameters'),
    ],
    ['a tool', { tools: [null] }, invalidType('tools[0]')],
    ['a metadata value', { metadata: { a: 1 } }, invalidType('metadata.a')],
    ['a nested metadata value', { metadata: { a: { b: 'c' } } }, invalidType('metadata.a')],
    ['an effort', { reasoning: { effort: 1 } }, invalidType('reasoning.effort')],
    ['an unknown effort', { reasoning: { effort: 'heroic' } }, { param: 'reasoning.effort', code: 'invalid_value' }],
    ['a verbosity', { text: { verbosity: 'chatty' } }, { param: 'text.verbosity', code: 'invalid_value' }],
    [
      'a format without a schema',
      { text: { format: { type: 'json_schema', name: 'x' } } },
      { param: 'text.format.schema', code: 'missing_required_parameter' },
    ],
    ['an unknown format', { text: { format: { type: 'xml' } } }, { param: 'text.format.type' }],
    ['an include', { include: ['everything'] }, { param: 'include[0]', code: 'invalid_value' }],
    [
      'obfuscation',
      { stream: true, stream_options: { include_obfuscation: 'no' } },
      invalidType('stream_options.include_obfuscation'),
    ],
    ['a conversation', { conversation: { id: 1 } }, invalidType('conversation.id')],
    ['a tool choice', { tool_choice: 'sometimes' }, { param: 'tool_choice' }],
    ['a service tier', { service_tier: 'first class' }, { param: 'service_tier', code: 'invalid_value' }],
    ['a truncation', { truncation: 'middle' }, { param: 'truncation', code: 'invalid_value' }],
  ]);
});

describe('a number out of its range is refused with the bound', () => {
  refuses([
    [
      'max_output_tokens 15',
      { max_output_tokens: 15 },
      {
        code: 'integer_below_min_value',
        param: 'max_output_tokens',
        message: /Expected a value >= 16, but got 15 instead/,
      },
    ],
    ['max_output_tokens 0', { max_output_tokens: 0 }, { code: 'integer_below_min_value', param: 'max_output_tokens' }],
    [
      'max_output_tokens -1',
      { max_output_tokens: -1 },
      { code: 'integer_below_min_value', param: 'max_output_tokens' },
    ],
    ['max_output_tokens 1e300', { max_output_tokens: 1e300 }, { param: 'max_output_tokens' }],
    ['max_tool_calls 0', { max_tool_calls: 0 }, { code: 'integer_below_min_value', param: 'max_tool_calls' }],
    [
      'temperature -0.5',
      { temperature: -0.5 },
      { code: 'decimal_below_min_value', param: 'temperature', message: /Expected a value >= 0, but got -0.5 instead/ },
    ],
    [
      'temperature 2.1',
      { temperature: 2.1 },
      { code: 'decimal_above_max_value', param: 'temperature', message: /Expected a value <= 2, but got 2.1 instead/ },
    ],
    ['top_p 1.01', { top_p: 1.01 }, { code: 'decimal_above_max_value', param: 'top_p' }],
    ['top_p -0.1', { top_p: -0.1 }, { code: 'decimal_below_min_value', param: 'top_p' }],
    ['top_logprobs 21', { top_logprobs: 21 }, { code: 'integer_above_max_value', param: 'top_logprobs' }],
    ['top_logprobs -1', { top_logprobs: -1 }, { code: 'integer_below_min_value', param: 'top_logprobs' }],
    [
      'safety_identifier of 129',
      { safety_identifier: 'x'.repeat(129) },
      {
        code: 'string_above_max_length',
        param: 'safety_identifier',
        message: /maximum length 128, but got a string with length 129/,
      },
    ],
  ]);

  test('a whole number outside the bounds of a decimal is told as a decimal, as on the recorded wire', async () => {
    assertError(await post(holt, otter({}, { temperature: -1 })), 400, {
      code: 'decimal_below_min_value',
      param: 'temperature',
      message: "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
    });
  });

  test('the bounds themselves are allowed', async () => {
    for (const over of [
      { max_output_tokens: 16 },
      { temperature: 0 },
      { temperature: 2 },
      { top_p: 0 },
      { top_p: 1 },
      { top_logprobs: 0 },
      { safety_identifier: 'x'.repeat(128) },
    ]) {
      assert.equal((await create(holt, otter({ tokens: 1 }, over))).status, 'completed', JSON.stringify(over));
    }
  });
});

describe('metadata has its limits', () => {
  const pairs = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v']));
  refuses([
    ['17 pairs', { metadata: pairs(17) }, { code: 'object_above_max_properties', param: 'metadata' }],
    [
      'a key of 65 characters',
      { metadata: { ['k'.repeat(65)]: 'v' } },
      {
        code: 'string_above_max_length',
        param: `metadata.${'k'.repeat(65)}`,
        message: /maximum length 64, but got a string with length 65/,
      },
    ],
    [
      'a value of 513 characters',
      { metadata: { k: 'v'.repeat(513) } },
      {
        code: 'string_above_max_length',
        param: 'metadata.k',
        message: /maximum length 512, but got a string with length 513/,
      },
    ],
    ['a value that is null', { metadata: { k: null } }, invalidType('metadata.k')],
  ]);

  test('16 pairs, keys of 64 and values of 512 characters are allowed, and echoed', async () => {
    const metadata = {
      ...pairs(12),
      ['k'.repeat(64)]: 'v'.repeat(512),
      'scripted.tokens': '1',
      'scripted.first_token_ms': '0',
      'scripted.interval_ms': '0',
    };
    assert.equal(Object.keys(metadata).length, 16);
    assert.deepEqual((await create(holt, { ...otter(), metadata })).metadata, metadata);
  });
});

describe('the demonstration model refuses what it can not do', () => {
  refuses([
    [
      'an unknown setting',
      { metadata: { 'scripted.speed': '3' } },
      { param: 'metadata.scripted.speed', code: 'invalid_value' },
    ],
    [
      'tokens that are none',
      { metadata: { 'scripted.tokens': 'many' } },
      { param: 'metadata.scripted.tokens', code: 'invalid_value' },
    ],
    ['too many tokens', { metadata: { 'scripted.tokens': '100001' } }, { param: 'metadata.scripted.tokens' }],
    ['a negative interval', { metadata: { 'scripted.interval_ms': '-1' } }, { param: 'metadata.scripted.interval_ms' }],
    [
      'a tool it was not given',
      { metadata: { 'scripted.tool_call': 'look' } },
      { param: 'metadata.scripted.tool_call' },
    ],
    ['logprobs', { top_logprobs: 3 }, unsupported('top_logprobs')],
    ['logprobs by include', { include: ['message.output_text.logprobs'] }, { param: 'include' }],
    [
      'a JSON answer',
      { text: { format: { type: 'json_object' } } },
      { param: 'text.format', code: 'unsupported_value' },
    ],
    [
      'a tool it has to call',
      { tool_choice: 'required', tools: [{ type: 'function', name: 'f' }] },
      { param: 'tool_choice' },
    ],
  ]);

  test('a tool it may not call, or another one than it has to', async () => {
    const tools = ['f', 'g'].map((name) => ({ type: 'function', name }));
    for (const tool_choice of ['none', { type: 'function', name: 'g' }]) {
      const answer = await post(holt, otter({ tool_call: 'f' }, { tools, tool_choice }));
      if (answer.status !== 200) {
        assertError(answer, 400, { param: 'tool_choice' });
        continue;
      }
      const called = responseIn(answer).output.flatMap((item) => (item.type === 'function_call' ? [item.name] : []));
      assert.deepEqual(called, tool_choice === 'none' ? [] : ['g'], 'no flag is accepted and ignored');
    }
  });
});

// ---------------------------------------------------------------- what is not served

describe('what is not served is a 400 that names it', () => {
  refuses([
    ['prompt', { prompt: { id: 'pmpt_1' } }, unsupported('prompt')],
    ['moderation', { moderation: { model: 'x' } }, unsupported('moderation')],
    ['context_management', { context_management: [{ type: 'compaction' }] }, unsupported('context_management')],
    ['image', { image: {} }, unsupported('image')],
    ['access_programs', { access_programs: ['x'] }, unsupported('access_programs')],
    ...['web_search', 'file_search', 'mcp', 'code_interpreter', 'image_generation', 'shell', ''].map((type): Row => [
      `a tool of type '${type}'`,
      { tools: [{ type }] },
      { code: 'unsupported_value', param: 'tools[0].type' },
    ]),
    [
      'a second tool of another type',
      {
        tools: [
          { type: 'function', name: 'f' },
          { type: 'mcp', server_label: 'x' },
        ],
      },
      { param: 'tools[1].type' },
    ],
    [
      'a hosted tool choice',
      { tools: [{ type: 'function', name: 'f' }], tool_choice: { type: 'web_search' } },
      { param: 'tool_choice.type' },
    ],
    ...['computer_call', 'web_search_call', 'mcp_call', 'nonsense'].map((type): Row => [
      `an item of type ${type}`,
      { input: [{ type, id: 'x' }] },
      { code: 'unsupported_value', param: 'input[0].type' },
    ]),
    ['stream options without a stream', { stream_options: { include_obfuscation: true } }, { param: 'stream_options' }],
    [
      'a choice of a tool that is not there',
      { tool_choice: { type: 'function', name: 'f' } },
      { param: 'tool_choice' },
    ],
    [
      'two tools of one name',
      {
        tools: [
          { type: 'function', name: 'f' },
          { type: 'function', name: 'f' },
        ],
      },
      { param: 'tools[1].name' },
    ],
  ]);
});

describe('sampling names of other APIs are refused by name', () => {
  const foreign: Record<string, unknown> = {
    stop: ['x'],
    seed: 1,
    n: 2,
    logit_bias: {},
    frequency_penalty: 0.5,
    presence_penalty: 0.5,
    logprobs: true,
    max_tokens: 100,
    max_completion_tokens: 100,
    messages: [{ role: 'user', content: 'x' }],
    functions: [],
    function_call: 'auto',
    response_format: { type: 'json_object' },
    reasoning_effort: 'low',
    top_k: 40,
    min_p: 0.1,
  };
  refuses(
    Object.entries(foreign).map(([key, value]) => [
      key,
      { [key]: value },
      { code: 'unknown_parameter', param: key, message: `Unknown parameter: '${key}'.` },
    ]),
  );
});

test('other unknown parameters are ignored, and refused when the server is strict', async () => {
  const unknown = ['client_metadata', 'extra_body', 'personality', 'toString', 'constructor', 'x'.repeat(10_000)];
  for (const key of unknown) {
    const body = otter({ tokens: 1 }, { [key]: { any: 'thing' } });
    assert.equal(responseIn(await post(holt, body)).status, 'completed', key.slice(0, 20));
    assertError(await post(strict, body), 400, { code: 'unknown_parameter', param: key });
  }
  assert.equal((await create(strict, otter({ tokens: 1 }))).status, 'completed');
});

describe('a model', () => {
  test('that does not exist is a 400', async () => {
    for (const over of [{}, { background: true }, { stream: true }]) {
      assertError(await post(named, otter({}, { model: 'gpt-5.2', ...over })), 400, {
        type: 'invalid_request_error',
        code: 'model_not_found',
        param: 'model',
        message: "The requested model 'gpt-5.2' does not exist.",
      });
    }
    assertError(await get(named, 'models/gpt-5.2'), 404, { code: 'model_not_found', param: 'model' });
  });

  test('is asked for, as is input', async () => {
    for (const model of [undefined, null, '']) {
      assertError(await post(holt, { model, input: 'Hello' }), 400, {
        code: 'missing_required_parameter',
        param: 'model',
        message: "Missing required parameter: 'model'.",
      });
    }
    for (const input of [undefined, null]) {
      assertError(await post(holt, { model: 'otter', input }), 400, {
        code: 'missing_required_parameter',
        param: 'input',
      });
    }
    assertError(await post(holt, {}), 400, { code: 'missing_required_parameter', param: 'model' });
  });

  test('of an odd name is a 404 when it is looked up', async () => {
    for (const name of ['', 'a/b', '%2e%2e', 'a%2Fb', '__proto__', '%00', 'x'.repeat(4_000), '?x=y', '*']) {
      assertError(await get(named, `models/${name}`), 404);
    }
  });
});

// ---------------------------------------------------------------- addresses

/** Ids nobody was ever given, as they stand in a URL. */
const UNKNOWN_IDS = {
  'of the right form': 'resp_000000000000000000000000000000000000000000000000',
  'of the guide': 'resp_123',
  'of one letter': 'x',
  'with a NUL': 'resp_%00',
  'with an emoji': '%F0%9F%A6%A6',
  'that climbs': '..%2F..%2Fetc%2Fpasswd',
  'with SQL in it': "'%20or%201=1--",
  'with a percent sign': '%25',
  'of a prototype': '__proto__',
  'that is long': `resp_${'0'.repeat(3_000)}`,
};

describe('an unknown id is a 404 for every verb', () => {
  for (const [what, id] of Object.entries(UNKNOWN_IDS)) {
    test(what, async () => {
      for (const answer of [
        await get(holt, `responses/${id}`),
        await get(holt, `responses/${id}?stream=true`),
        await get(holt, `responses/${id}?stream=true&starting_after=3`),
        await get(holt, `responses/${id}/input_items`),
        await cancel(holt, id),
        await remove(holt, id),
      ]) {
        assertError(answer, 404, {
          type: 'invalid_request_error',
          code: null,
          message: /^Response with id '.+' not found\.$/s,
        });
      }
    });
  }
});

test('an unknown URL or method is a 404 with the envelope', async () => {
  const { id } = await create(holt, otter());
  for (const [method, path] of [
    ['GET', '/'],
    ['GET', '/v1'],
    ['GET', '/v1/'],
    ['GET', '/v2/responses'],
    ['GET', '/v1/responses'],
    ['PUT', '/v1/responses'],
    ['PATCH', `/v1/responses/${id}`],
    ['PUT', `/v1/responses/${id}`],
    ['POST', `/v1/responses/${id}`],
    ['GET', `/v1/responses/${id}/cancel`],
    ['DELETE', `/v1/responses/${id}/cancel`],
    ['POST', `/v1/responses/${id}/input_items`],
    ['GET', `/v1/responses/${id}/nothing`],
    ['POST', '/v1/chat/completions'],
    ['POST', '/v1/embeddings'],
    ['GET', '/v1/conversations'],
    ['DELETE', '/v1/models/otter'],
    ['OPTIONS', '/v1/nothing'],
    ['GET', '/V1/responses/x'],
    ['GET', '//v1/models'],
  ] as const) {
    const answer = await call(method, holt.url + path, method === 'GET' ? {} : { body: '{}' });
    assertError(answer, 404, { type: 'invalid_request_error', code: 'unknown_url', param: null });
    assert.match(answer.text, /Invalid URL/);
  }
});

test('a URL that can not be decoded is a 400 with the envelope and every header', async () => {
  for (const path of ['responses/%zz', 'responses/%', 'responses/%ed%a0%80', 'models/%c3', 'responses/%zz/cancel']) {
    const answer = await get(holt, path);
    assertError(answer, 400, { type: 'invalid_request_error' });
    for (const name of ['x-request-id', 'openai-version', 'openai-processing-ms']) {
      assert.ok(answer.headers.get(name), `${path}: ${name}`);
    }
  }
});

test('a query that makes no sense is a 400 that names its part, or is ignored', async () => {
  const { id } = await create(holt, otter({}, { background: true, input: [{ role: 'user', content: 'x' }] }));
  const refused: [query: string, param: string][] = [
    ['?stream=maybe', 'stream'],
    ['?stream=true&starting_after=abc', 'starting_after'],
    ['?stream=true&starting_after=1&starting_after=x', 'starting_after'],
    ['?stream=true&include_obfuscation=x', 'include_obfuscation'],
    ['?include[]=reasoning.encrypted_content', 'include'],
    ['?include%5B%5D=a&include%5B%5D=reasoning.encrypted_content', 'include'],
    ['?include=reasoning.encrypted_content', 'include'],
    ['/input_items?limit=0', 'limit'],
    ['/input_items?limit=101', 'limit'],
    ['/input_items?limit=1.5', 'limit'],
    ['/input_items?limit=ten', 'limit'],
    ['/input_items?order=up', 'order'],
    ['/input_items?after=msg_nothing', 'after'],
    ['/input_items?before=msg_nothing', 'before'],
  ];
  for (const [query, param] of refused) assertError(await get(holt, `responses/${id}${query}`), 400, { param });
  for (const query of [
    '?',
    '?&&&',
    '?=',
    '?%zz=1',
    '?a=%zz',
    '?__proto__=1&constructor=2&stream=false',
    '?starting_after[]=x',
    '?unknown=1',
    `?x=${'y'.repeat(5_000)}`,
    '/input_items?limit=&order=&after=',
    '/input_items?limit=%2B5',
    '/input_items?include[]=message.input_image.image_url',
  ]) {
    assert.equal((await get(holt, `responses/${id}${query}`)).status, 200, query);
  }
});

// ---------------------------------------------------------------- headers

test('X-Client-Request-Id is at most 512 ASCII characters', async () => {
  for (const value of ['x', 'x'.repeat(512), '']) {
    assert.equal((await post(holt, otter({ tokens: 1 }), { 'x-client-request-id': value })).status, 200);
  }
  for (const value of ['x'.repeat(513), 'é']) {
    assertError(await post(holt, otter(), { 'x-client-request-id': value }), 400, { param: 'X-Client-Request-Id' });
    assertError(await call('GET', `${holt.url}/v1/models`, { headers: { 'x-client-request-id': value } }), 400);
  }
});

test('what any proxy or browser adds is no reason to refuse', async () => {
  const headers = {
    accept: 'text/html',
    'accept-encoding': 'br',
    'openai-organization': 'org',
    'openai-project': 'proj',
    'openai-beta': 'responses=v1',
    'x-forwarded-for': '10.0.0.1',
    cookie: 'a=b',
    authorization: 'Bearer anything',
  };
  assert.equal((await post(holt, otter({ tokens: 1 }), headers)).status, 200);
});

/** One request as raw bytes, and the whole answer. */
async function sendRaw(head: string, body?: string): Promise<Answer> {
  const client = await RawClient.open(holt);
  client.socket.write(body === undefined ? head : `${head}${body}`);
  await client.closed;
  const { status, head: answered, chunks } = parseAnswer(client.bytes);
  const headers = new Headers(
    answered
      .split('\r\n')
      .slice(1)
      .map((line): [string, string] => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon), line.slice(colon + 1).trim()];
      }),
  );
  return { status, headers, text: chunks.join('') };
}

describe('what is no HTTP is refused with the envelope', () => {
  const host = 'Host: 127.0.0.1\r\n';
  const close = 'Connection: close\r\n\r\n';
  const requests: Record<string, [bytes: string, status: number]> = {
    'a greeting': ['HELLO\r\n\r\n', 400],
    'an unknown method': [`BREW /v1/responses HTTP/1.1\r\n${host}${close}`, 400],
    'headers without an end': [`GET /v1/models HTTP/1.1\r\n${host}X-Long: ${'a'.repeat(20_000)}\r\n${close}`, 431],
    'a header that is none': [`GET /v1/models HTTP/1.1\r\n${host}no colon\r\n${close}`, 400],
    'a broken chunk': [`POST /v1/responses HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 400],
    'two lengths': [`POST /v1/responses HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n${close}{}`, 400],
    'no host': [`GET /v1/models HTTP/1.1\r\n${close}`, 400],
  };
  for (const [what, [bytes, status]] of Object.entries(requests)) {
    test(what, async () => {
      assertError(await sendRaw(bytes), status, { type: 'invalid_request_error' });
    });
  }
});

test('a URL that can not be decoded is quoted in part', async () => {
  const answer = await call('GET', `${holt.url}/v1/responses/%zz?x=${'y'.repeat(5_000)}`);
  assertError(answer, 400, { code: null, message: /^The request could not be read: / });
  assert.ok(answer.text.length < 500, answer.text);
});

test('a HEAD that is too long is refused without a body', async () => {
  const client = await RawClient.open(holt);
  client.socket.write(`HEAD /v1/models/${'x'.repeat(20_000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  await client.closed;
  const text = client.bytes.toString();
  assert.match(text, /^HTTP\/1\.1 431 /);
  assert.equal(text.indexOf('\r\n\r\n') + 4, text.length);
});

test('a body shorter than it said, and a client that goes, harm nobody', async () => {
  for (const body of ['{"model":', '']) {
    const client = await RawClient.open(holt);
    client.socket.write(`POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n${body}`);
    await get(holt, 'models');
    client.leave();
    await client.closed;
  }
  assert.equal((await create(holt, otter())).status, 'completed');
});

// ---------------------------------------------------------------- input items

test('items that bear one id, or an empty one, can all be listed page by page', async () => {
  const item = (text: string, id?: string) => ({ role: 'user', content: text, ...(id !== undefined && { id }) });
  const inputs = [
    [item('a', 'msg_1'), item('b', 'msg_1'), item('c', 'msg_1'), item('d')],
    [item('a', ''), item('b', ''), item('c')],
  ];
  for (const input of inputs) {
    const answer = await post(holt, otter({ tokens: 1 }, { input }));
    if (answer.status === 400) {
      assertError(answer, 400);
      continue;
    }
    const seen: string[] = [];
    let after = '';
    for (let pages = 0; pages < 10; pages += 1) {
      const page = JSON.parse(
        (await get(holt, `responses/${responseIn(answer).id}/input_items?limit=1&order=asc&after=${after}`)).text,
      ) as { data: { content: { text: string }[] }[]; last_id: string; has_more: boolean };
      seen.push(...page.data.map(({ content }) => content[0]?.text ?? ''));
      after = page.last_id;
      if (!page.has_more) break;
    }
    assert.deepEqual(
      seen,
      input.map(({ content }) => content),
    );
  }
});

// ---------------------------------------------------------------- chance

test('whatever is changed in a valid body, the answer is JSON and no 5xx', async () => {
  const valid = {
    model: 'otter',
    input: [
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello' }] },
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output: 'x' },
      { type: 'reasoning', summary: [{ type: 'summary_text', text: 'x' }] },
    ],
    instructions: 'x',
    background: true,
    store: true,
    stream: false,
    include: [],
    max_output_tokens: 16,
    parallel_tool_calls: true,
    temperature: 1,
    tools: [{ type: 'function', name: 'f', parameters: { type: 'object' }, strict: true }],
    tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'f' }] },
    text: { format: { type: 'text' }, verbosity: 'low' },
    reasoning: { effort: 'low' },
    metadata: { 'scripted.tokens': '2', 'scripted.first_token_ms': '0', 'scripted.interval_ms': '0' },
  };
  const value = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      true,
      false,
      0,
      -1,
      1.5,
      1e308,
      2 ** 53,
      '',
      'x',
      '\u0000',
      '\ud800',
      [],
      {},
      [[]],
      [null],
    ),
    fc.jsonValue({ maxDepth: 3 }),
    fc.string({ unit: 'binary', maxLength: 20 }),
  );
  const change = fc.record({ place: fc.nat(), drop: fc.boolean(), rename: fc.boolean(), value });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
      const body = structuredClone(valid) as unknown as Record<string, unknown>;
      for (const { place, drop, rename, value } of changes) {
        const places = [...placesIn(body)];
        const [holder, key] = places[place % places.length]!;
        if (rename) holder[JSON.stringify(value).slice(0, 30)] = holder[key];
        if (drop || rename) delete holder[key];
        else holder[key] = value;
      }
      const answer = await post(holt, body);
      assert.ok(answer.status === 200 || answer.status === 400, `${answer.status} ${answer.text}`);
      if (answer.status === 400) assertError(answer, 400);
      else if (body['stream'] !== true) responseIn(answer);
    }),
    { numRuns: 300, endOnFailure: true },
  );
});

/** Every place of a JSON value where something else could stand. */
function* placesIn(value: Record<string, unknown>): Generator<[Record<string, unknown>, string]> {
  for (const [key, inner] of Object.entries(value)) {
    yield [value, key];
    if (typeof inner === 'object' && inner !== null) yield* placesIn(inner as Record<string, unknown>);
  }
}

test('whatever bytes are sent as a body, the answer is JSON and no 5xx', async () => {
  const json = JSON.stringify(otter({ tokens: 1 }, { background: true }));
  await fc.assert(
    fc.asyncProperty(fc.nat(json.length), fc.nat(20), fc.uint8Array({ maxLength: 8 }), async (at, length, bytes) => {
      const whole = Buffer.from(json);
      const body = Buffer.concat([whole.subarray(0, at), bytes, whole.subarray(at + length)]);
      const answer = await post(holt, body);
      if (answer.status === 200) responseIn(answer);
      else assertError(answer, 400);
    }),
    { numRuns: 200, endOnFailure: true },
  );
});

test('whatever is sent as an id and a query, the answer is JSON and no 5xx', async () => {
  const text = fc.string({
    unit: fc.constantFrom('a', '%', '2', 'f', '/', '?', '&', '=', '.', '[', ']', '+', ';'),
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(text, text, fc.constantFrom('', '/cancel', '/input_items'), async (id, query, tail) => {
      const path = new URL(`${holt.url}/v1/responses/${id}${tail}?${query}`);
      if (!path.href.startsWith(`${holt.url}/v1/responses/`)) return;
      const answer = await call(tail === '/cancel' ? 'POST' : 'GET', path.href);
      assert.ok(answer.status === 404 || answer.status === 400, `${answer.status} ${path.href}`);
      assertError(answer, answer.status);
    }),
    { numRuns: 300, endOnFailure: true },
  );
});

test('as many parts as a body can hold are no failure of the server', async () => {
  const summary = Array.from({ length: 2_048 }, () => ({ type: 'summary_text', text: 'x' }));
  const input = [
    ...Array.from({ length: 150 }, () => ({ type: 'reasoning', summary })),
    { role: 'user', content: 'hi' },
  ];
  assert.equal((await post(holt, { model: 'm', input }, {}, 'responses/input_tokens')).status, 200);
});
