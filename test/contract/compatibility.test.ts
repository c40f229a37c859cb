import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createResponseBody } from '../../server/src/protocol/create-response.ts';
import { ROOT, startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { skipUnavailable } from '../support/unavailable.ts';
import { assertError, call, create, jsonRequest, post } from './wire.ts';

/** docs/COMPATIBILITY.md, row by row, against the server and the official description. */

type Row = { name: string; verdict: string; reason: string };

const page = await readFile(join(ROOT, 'docs/COMPATIBILITY.md'), 'utf8');

function rowsOf(heading: string): Row[] {
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return [...section.matchAll(/^\| `([^`]+)` \| (\w+) \| (.*?) ?\|$/gm)].map(
    ([, name = '', verdict = '', reason = '']) => ({
      name,
      verdict,
      reason,
    }),
  );
}

const FIELDS = rowsOf('Request fields');
const HEADERS = rowsOf('Request headers');
const TOOLS = rowsOf('Tools');
const ITEMS = rowsOf('Input items');
const PARTS = rowsOf('Content parts');
const EVENTS = rowsOf('Events');
const ENDPOINTS = rowsOf('Endpoints');

const names = (rows: readonly Row[]): string[] => rows.map(({ name }) => name).toSorted();

let upstream: Upstream;
let strict: TestHolt;
let lenient: TestHolt;
before(async () => {
  upstream = await startUpstream();
  strict = await startHolt({ flags: ['--upstream', upstream.url] });
  lenient = await startHolt({ flags: ['--upstream', upstream.url, '--compat', 'lenient'] });
});
after(async () => {
  await Promise.all([strict.stop(), lenient.stop()]);
  await upstream.stop();
});

test('every row has a verdict, and a reason where it is not the same', () => {
  for (const row of [FIELDS, HEADERS, TOOLS, ITEMS, PARTS, EVENTS, ENDPOINTS].flat()) {
    assert.match(row.verdict, /^(same|differs|refused|never)$/, row.name);
    if (row.verdict !== 'same') assert.notEqual(row.reason, '', row.name);
  }
});

const isLenient = (row: Row): boolean => row.reason.includes('(lenient: left out)');

/** What the row says of a request that has it, strict and lenient. */
async function assertVerdict(row: Row, body: object, param: string): Promise<void> {
  const request = { model: 'm', input: 'hi', ...body };
  const answer = await post(strict, request);
  const tolerant = await post(lenient, request);
  if (row.verdict !== 'refused') {
    assert.equal(answer.status, 200, `${row.name}: ${answer.text}`);
    assert.equal(tolerant.headers.get('holt-dropped'), null);
    return;
  }
  assertError(answer, 400, { param });
  if (isLenient(row)) {
    assert.equal(tolerant.status, 200, `${row.name}: ${tolerant.text}`);
    assert.ok(tolerant.headers.get('holt-dropped')?.includes(param));
  } else {
    assertError(tolerant, 400, { param });
  }
}

describe('request fields', () => {
  test('are those of the schema', () => {
    assert.deepEqual(names(FIELDS), Object.keys(createResponseBody.shape).toSorted());
  });

  test('headers are as their rows say', async () => {
    assert.deepEqual(names(HEADERS), ['Idempotency-Key']);
    const request = { model: 'm', input: 'hi', background: true };
    const header = { 'idempotency-key': 'compatible' };
    const [first, second] = [await post(strict, request, header), await post(strict, request, header)];
    assert.equal((JSON.parse(first.text) as { id: string }).id, (JSON.parse(second.text) as { id: string }).id);
    assert.equal(second.headers.get('idempotent-replayed'), 'true');
    assertError(await post(strict, { ...request, input: 'ho' }, header), 400, { param: 'Idempotency-Key' });
    assertError(await post(strict, { model: 'm', input: 'hi' }, header), 400, { param: 'Idempotency-Key' });
  });

  const SAMPLES: Record<string, () => unknown> = {
    model: () => 'm',
    input: () => [{ role: 'user', content: 'hi' }],
    instructions: () => 'Be brief.',
    background: () => true,
    store: () => false,
    stream: () => false,
    stream_options: () => ({ include_obfuscation: false }),
    previous_response_id: async () => (await create(strict, { model: 'm', input: 'hi' })).id,
    conversation: async () => (await strict.client.conversations.create()).id,
    include: () => ['message.output_text.logprobs'],
    metadata: () => ({ a: 'b' }),
    max_output_tokens: () => 100,
    max_tool_calls: () => 3,
    parallel_tool_calls: () => false,
    temperature: () => 0.5,
    top_p: () => 0.5,
    top_logprobs: () => 3,
    tools: () => [{ type: 'function', name: 'f' }],
    tool_choice: () => 'auto',
    text: () => ({ format: { type: 'json_object' } }),
    reasoning: () => ({ effort: 'low' }),
    truncation: () => 'auto',
    service_tier: () => 'priority',
    prompt_cache_key: () => 'k',
    prompt_cache_options: () => ({ mode: 'explicit' }),
    prompt_cache_retention: () => '24h',
    safety_identifier: () => 's',
    user: () => 'u',
    prompt: () => ({ id: 'pmpt_1' }),
    context_management: () => [{ type: 'compaction' }],
    moderation: () => ({ model: 'omni' }),
    image: () => ({}),
    access_programs: () => ['x'],
  };

  for (const row of FIELDS) {
    test(`${row.name} is ${row.verdict}`, async () => {
      const sample = await SAMPLES[row.name]?.();
      assert.notEqual(sample, undefined, 'a sample of each');
      if (row.name === 'previous_response_id' || row.name === 'conversation') {
        // What is stored is of one server.
        await create(strict, { model: 'm', input: 'hi', [row.name]: sample });
        return;
      }
      const with_ = row.name === 'stream_options' ? { stream: true } : {};
      await assertVerdict(row, { ...with_, [row.name]: sample }, row.name);
    });
  }
});

describe('tools', () => {
  for (const row of TOOLS) {
    test(`${row.name} is ${row.verdict}`, async () => {
      const inner = row.name === 'namespace' ? { tools: [{ type: 'function', name: 'f' }] } : {};
      await assertVerdict(row, { tools: [{ type: row.name, name: 'ns', ...inner }] }, 'tools[0].type');
    });
  }
});

describe('input items', () => {
  async function sampleOf(type: string): Promise<object[]> {
    const call_ = { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' };
    const custom = { type: 'custom_tool_call', call_id: 'c', name: 'f', input: 'x' };
    switch (type) {
      case 'message':
        return [{ type, role: 'user', content: 'hi' }];
      case 'function_call':
      case 'function_call_output':
        return [call_, { type: 'function_call_output', call_id: 'c', output: 'x' }];
      case 'custom_tool_call':
      case 'custom_tool_call_output':
        return [custom, { type: 'custom_tool_call_output', call_id: 'c', output: 'x' }];
      case 'reasoning':
        return [
          { type, summary: [], encrypted_content: 'of another server' },
          { role: 'user', content: 'hi' },
        ];
      case 'compaction':
        return (await strict.client.responses.compact({ model: 'm', input: 'hi' })).output;
      case 'item_reference':
        return [{ type, id: (await create(strict, { model: 'm', input: 'hi' })).output[0]?.id }];
      default:
        return [{ type, id: 'x_1' }];
    }
  }

  for (const row of ITEMS) {
    test(`${row.name} is ${row.verdict}`, async () => {
      const answer = await post(strict, { model: 'm', input: await sampleOf(row.name) });
      if (row.verdict === 'refused') assertError(answer, 400, { param: 'input[0].type' });
      else assert.equal(answer.status, 200, answer.text);
    });
  }
});

describe('content parts', () => {
  const DATA: Record<string, object[]> = {
    input_text: [{ text: 'hi' }],
    input_image: [{ image_url: 'data:image/png;base64,AA==' }],
    input_file: [{ filename: 'a.txt', file_data: `data:text/plain;base64,${btoa('hi')}` }],
    input_audio: [{ input_audio: { data: 'AA==', format: 'wav' } }],
    output_text: [{ text: 'hi' }],
    refusal: [{ refusal: 'no' }],
  };

  for (const row of PARTS) {
    test(`${row.name} is ${row.verdict}`, async () => {
      const role = ['output_text', 'refusal'].includes(row.name) ? 'assistant' : 'user';
      const input = [{ role, content: DATA[row.name]?.map((part) => ({ type: row.name, ...part })) }];
      const answer = await post(strict, { model: 'm', input });
      if (row.reason.includes('else refused')) assertError(answer, 400, { param: 'input[0].content[0].type' });
      else assert.equal(answer.status, 200, answer.text);
    });
  }
});

test('the events that are sent are those of the protocol', async () => {
  const source = await readFile(join(ROOT, 'server/src/protocol/events.ts'), 'utf8');
  const sent = new Set([...source.matchAll(/'(response\.[\w.]+)'/g)].map(([, type]) => type));
  assert.deepEqual(
    names(EVENTS.filter(({ verdict }) => verdict !== 'never')),
    names([...sent].map((name = '') => ({ name, verdict: 'same', reason: '' }))),
  );
});

describe('endpoints', () => {
  for (const row of ENDPOINTS) {
    test(`${row.name} is ${row.verdict}`, async () => {
      const [method = '', path = ''] = row.name.split(' ');
      const url = strict.url + path.replaceAll('{id}', 'x_1').replaceAll('{item}', 'y_1').replaceAll('{model}', 'm');
      const answer = await call(method, url, method === 'POST' ? jsonRequest({}) : {});
      const { error } = JSON.parse(answer.text) as { error?: { code: string | null } };
      if (row.verdict === 'refused') assertError(answer, 404, { code: 'unknown_url' });
      else assert.notEqual(error?.code, 'unknown_url');
    });
  }
});

type Official = {
  paths: Record<string, Record<string, unknown>>;
  components: { schemas: Record<string, Schema> };
};
type Schema = {
  $ref?: string;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  enum?: string[];
  properties?: Record<string, Schema>;
};

test('nothing of the official description is missing', async (context) => {
  const text = await readFile(join(ROOT, '../shared/openapi-responses.json'), 'utf8').catch(() => undefined);
  if (text === undefined) {
    skipUnavailable(context, 'the official description is not there');
    return;
  }
  const { paths, components } = JSON.parse(text) as Official;
  const at = (ref = ''): Schema => components.schemas[ref.split('/').at(-1) ?? ''] ?? {};
  const typesIn = (schema: Schema): string[] => {
    const whole = schema.$ref === undefined ? schema : at(schema.$ref);
    const variants = [...(whole.anyOf ?? []), ...(whole.oneOf ?? [])];
    if (variants.length > 0) return variants.flatMap(typesIn);
    const type = whole.properties?.['type'];
    return [...(type?.enum ?? []), ...(type?.anyOf ?? []).flatMap((variant) => variant.enum ?? [])];
  };
  const fieldsIn = (schema: Schema): string[] => {
    const whole = schema.$ref === undefined ? schema : at(schema.$ref);
    return [...Object.keys(whole.properties ?? {}), ...(whole.allOf ?? []).flatMap(fieldsIn)];
  };
  const missing = (official: readonly string[], rows: readonly Row[]): string[] => {
    const known = new Set(rows.map(({ name }) => name));
    return official.filter((name) => !known.has(name));
  };
  assert.deepEqual(missing(fieldsIn(at('CreateResponse')), FIELDS), []);
  assert.deepEqual(missing(typesIn(at('ResponseStreamEvent')), EVENTS), []);
  assert.deepEqual(missing(typesIn(at('InputItem')), ITEMS), []);
  // Dated names of the same tools.
  const tools = typesIn(at('Tool')).filter((type) => !/_\d{4}_\d\d_\d\d$/.test(type));
  assert.deepEqual(missing(tools, TOOLS), []);
  const endpoints = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => {
      const ours = path.replace(/\{(response|conversation)_id\}/, '{id}').replace('{item_id}', '{item}');
      return `${method.toUpperCase()} /v1${ours}`;
    }),
  );
  assert.deepEqual(missing(endpoints, ENDPOINTS), []);
});
