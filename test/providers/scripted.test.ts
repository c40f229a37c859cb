import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { promisify } from 'node:util';
import { BadRequestError } from 'openai';
import type { TestHolt } from '../support/holt.ts';
import { startHolt } from '../support/holt.ts';

/** The demonstration model, through the server it demonstrates. */

const FAST = { 'scripted.first_token_ms': '0', 'scripted.interval_ms': '0' };

async function answer(holt: TestHolt, metadata: Record<string, string>, more: object = {}) {
  return holt.client.responses.create({ model: 'otter', input: 'hi', metadata: { ...FAST, ...metadata }, ...more });
}

test('the same request tells the same story, another seed another one', async () => {
  await using holt = await startHolt();
  const first = await answer(holt, {});
  const again = await answer(holt, {});
  const other = await answer(holt, { 'scripted.seed': '2' });
  assert.equal(first.output_text, again.output_text);
  assert.notEqual(first.output_text, other.output_text);
  assert.match(first.output_text, /otter/);
  assert.equal(first.usage?.output_tokens, 400);
});

test('a story is as long as asked for, up to 100,000 tokens', async () => {
  await using holt = await startHolt();
  for (const tokens of [0, 1, 63, 64, 65, 100_000]) {
    const response = await answer(holt, { 'scripted.tokens': String(tokens) });
    assert.equal(response.status, 'completed');
    assert.equal(response.output_text.split(' ').filter(Boolean).length, tokens);
  }
});

test('it reasons first when told to, and both are counted', async () => {
  await using holt = await startHolt();
  const response = await answer(holt, { 'scripted.tokens': '5', 'scripted.reasoning_tokens': '7' });
  assert.deepEqual(
    response.output.map(({ type }) => type),
    ['reasoning', 'message'],
  );
  assert.equal(response.usage?.output_tokens, 12);
  assert.equal(response.usage?.output_tokens_details.reasoning_tokens, 7);
});

test('max_output_tokens cuts it off', async () => {
  await using holt = await startHolt();
  const response = await answer(holt, { 'scripted.tokens': '50' }, { max_output_tokens: 16 });
  assert.equal(response.status, 'incomplete');
  assert.equal(response.incomplete_details?.reason, 'max_output_tokens');
  assert.equal(response.output_text.split(' ').length, 16);
});

test('it calls a tool once and answers when the output is there', async () => {
  await using holt = await startHolt();
  const tools = [{ type: 'function' as const, name: 'look', parameters: { type: 'object' }, strict: false }];
  const first = await answer(holt, { 'scripted.tool_call': 'look' }, { tools });
  const [call] = first.output;
  assert.ok(call?.type === 'function_call');
  assert.equal(call.name, 'look');
  assert.deepEqual(JSON.parse(call.arguments), { about: 'otters in space' });
  const second = await answer(
    holt,
    { 'scripted.tool_call': 'look', 'scripted.tokens': '3' },
    {
      tools,
      input: [
        { role: 'user', content: 'hi' },
        call,
        { type: 'function_call_output', call_id: call.call_id, output: 'stars' },
      ],
    },
  );
  assert.equal(second.output_text.split(' ').length, 3);
});

test('it fails after as many tokens as told, in the background as well', async () => {
  await using holt = await startHolt();
  const response = await answer(holt, { 'scripted.fail_after': '3' });
  assert.equal(response.status, 'failed');
  assert.equal(response.error?.code, 'server_error');
  assert.equal(response.output_text.split(' ').length, 3);
});

test('a setting that makes no sense is a 400 that names it', async () => {
  await using holt = await startHolt();
  for (const [metadata, param] of [
    [{ 'scripted.tokens': '100001' }, 'metadata.scripted.tokens'],
    [{ 'scripted.tokens': '-1' }, 'metadata.scripted.tokens'],
    [{ 'scripted.interval_ms': '1.5' }, 'metadata.scripted.interval_ms'],
    [{ 'scripted.colour': 'blue' }, 'metadata.scripted.colour'],
    [{ 'scripted.tool_call': 'nothing' }, 'metadata.scripted.tool_call'],
  ] as const) {
    await assert.rejects(answer(holt, metadata), (error) => {
      assert.ok(error instanceof BadRequestError);
      assert.equal(error.param, param);
      return true;
    });
  }
});

test('what it can not honour it refuses', async () => {
  await using holt = await startHolt();
  for (const [more, param] of [
    [{ text: { format: { type: 'json_object' } } }, 'text.format'],
    [{ include: ['message.output_text.logprobs'] }, 'include'],
    [{ top_logprobs: 3 }, 'top_logprobs'],
  ] as const) {
    await assert.rejects(answer(holt, {}, more), (error) => {
      assert.ok(error instanceof BadRequestError);
      assert.equal(error.param, param);
      return true;
    });
  }
});

test('without providers it answers every name, with one only its own and only if named', async () => {
  await using open = await startHolt();
  assert.equal((await open.client.responses.create({ model: 'gpt-5.2', input: 'x', metadata: FAST })).model, 'gpt-5.2');
  await using closed = await startHolt({ flags: ['--upstream', 'http://127.0.0.1:9/v1'] });
  assert.deepEqual((await closed.client.models.list()).data, []);
  await using both = await startHolt({
    configure: (config) => {
      config.providers = { demo: { kind: 'scripted' } };
      config.models = { otter: { provider: 'demo' } };
    },
  });
  assert.equal(
    (await both.client.responses.create({ model: 'otter', input: 'x', metadata: FAST })).status,
    'completed',
  );
  await assert.rejects(both.client.responses.create({ model: 'gpt-5.2', input: 'x' }), /does not exist/);
});

test('the demonstration shows what it promises', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['examples/demo.ts']);
  assert.match(stdout, /connection dropped at cursor 60/);
  assert.match(stdout, /streamed +129 events over two connections, 0 to 128, none lost and none twice; completed/);
  assert.match(stdout, /polled +completed after \d+ polls, 150 tokens/);
  assert.match(stdout, /cancelled +cancelled, with the \d+ characters/);
});
