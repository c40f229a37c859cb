import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startHolt } from '../../support/holt.ts';
import type { TestHolt } from '../../support/holt.ts';
import { SILENT, assertError, create, otter, post, responseIn } from '../wire.ts';

/** The contract's assertions about `POST /v1/responses`; A2, A3, A4 and A7 are in create.test.ts, A14 in state.test.ts. */

let holt: TestHolt;
before(async () => {
  // Without a model for every name, so that there is an unknown one.
  holt = await startHolt({ configure: (config) => delete config.models['*'] });
});
after(() => holt.stop());

test('A1 a background response is acknowledged as JSON that has begun nothing yet', async () => {
  const answer = await post(holt, otter(SILENT, { background: true }));
  const { status, output, usage, background, completed_at, error } = responseIn(answer);
  assert.ok(status === 'queued' || status === 'in_progress', status);
  assert.deepEqual(
    { output, usage, background, completed_at, error },
    { output: [], usage: null, background: true, completed_at: null, error: null },
  );
});

test('A5 background without store is a 400 with the whole envelope', async () => {
  const answer = await post(holt, otter({}, { background: true, store: false }));
  assertError(answer, 400, { type: 'invalid_request_error', code: 'unsupported_parameter', param: 'background' });
});

test('A6 background without store is JSON also when a stream was asked for', async () => {
  const answer = await post(holt, otter({}, { background: true, store: false, stream: true }));
  assertError(answer, 400, { type: 'invalid_request_error', code: 'unsupported_parameter', param: 'background' });
});

test('A8 a stream that is no boolean is a 400 of an invalid type', async () => {
  for (const background of [true, false]) {
    assertError(await post(holt, otter({}, { stream: 'x', background })), 400, {
      type: 'invalid_request_error',
      code: 'invalid_type',
      param: 'stream',
    });
  }
});

test('A9 fewer than 16 output tokens are a 400 with the bound', async () => {
  assertError(await post(holt, otter({}, { max_output_tokens: 15 })), 400, {
    type: 'invalid_request_error',
    code: 'integer_below_min_value',
    param: 'max_output_tokens',
    message: /16.+15/,
  });
  assert.equal((await create(holt, otter({ tokens: 1 }, { max_output_tokens: 16 }))).status, 'completed');
});

test('A10 metadata over its limits is a 400', async () => {
  const pairs = Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`key ${index}`, 'value']));
  for (const metadata of [pairs, { ['k'.repeat(65)]: 'value' }, { key: 'v'.repeat(513) }]) {
    const answer = await post(holt, { ...otter(), metadata });
    assertError(answer, 400, { type: 'invalid_request_error' });
    const { error } = JSON.parse(answer.text) as { error: { param: string } };
    assert.match(error.param, /^metadata/);
  }
});

test('A11 a body that is no JSON is a 400', async () => {
  for (const body of ['{', '{"model":"otter",}', 'otter', '"', '{"model":"otter"} {}']) {
    assertError(await post(holt, body), 400, { type: 'invalid_request_error', code: null, param: null });
  }
});

test('A12 an unknown model is a 400 that names the field', async () => {
  for (const over of [{}, { background: true }, { stream: true }, { background: true, stream: true }]) {
    assertError(await post(holt, otter({}, { model: 'gpt-5.2', ...over })), 400, {
      type: 'invalid_request_error',
      code: 'model_not_found',
      param: 'model',
      message: "The requested model 'gpt-5.2' does not exist.",
    });
  }
});

test('A13 an unknown response to go on from is a 400 that names it', async () => {
  const id = 'resp_000000000000000000000000000000000000000000000000';
  for (const over of [{}, { background: true }, { stream: true }, { background: true, stream: true }]) {
    assertError(await post(holt, otter({}, { previous_response_id: id, ...over })), 400, {
      type: 'invalid_request_error',
      code: 'previous_response_not_found',
      param: 'previous_response_id',
      message: `Previous response with id '${id}' not found.`,
    });
  }
});
