import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { assertError, create, get, otter, pollUntil } from './wire.ts';

/** `include` of a GET, in every spelling that clients send. */

let holt: TestHolt;
let id: string;
/** Every GET that takes it, and what it is asked of. */
let paths: string[];
before(async () => {
  holt = await startHolt();
  ({ id } = await create(holt, otter({}, { background: true })));
  await pollUntil(holt, id);
  const conversation = await holt.client.conversations.create({ items: [{ role: 'user', content: 'Hello' }] });
  const items = `conversations/${conversation.id}/items`;
  const { data } = JSON.parse((await get(holt, items)).text) as { data: { id: string }[] };
  paths = [`responses/${id}`, `responses/${id}/input_items`, items, `${items}/${data[0]?.id}`];
});
after(() => holt.stop());

const LOGPROBS = 'message.output_text.logprobs';
const IMAGES = 'message.input_image.image_url';
const ENCRYPTED = 'reasoning.encrypted_content';

test('every known value is taken, in every spelling', async () => {
  const spellings = [
    `include[]=${LOGPROBS}`,
    `include=${LOGPROBS}`,
    `include%5B%5D=${LOGPROBS}`,
    `include%5b%5d=${LOGPROBS}&include%5b%5d=${IMAGES}`,
    `include[]=${LOGPROBS}&include[]=${IMAGES}`,
    `include=${LOGPROBS}&include=${IMAGES}`,
    `include[]=${LOGPROBS}&include=${IMAGES}`,
    `include[]=${LOGPROBS}&include[]=${LOGPROBS}`,
    'include=message.output_text%2Elogprobs',
    'include[]=',
    'include',
    ...[
      'file_search_call.results',
      'web_search_call.results',
      'web_search_call.action.sources',
      'computer_call_output.output.image_url',
      'code_interpreter_call.outputs',
    ].map((value) => `include[]=${value}`),
  ];
  for (const path of paths) {
    const plain = await get(holt, path);
    for (const spelling of spellings) {
      const answer = await get(holt, `${path}?${spelling}`);
      assert.deepEqual([answer.status, answer.text], [200, plain.text], spelling);
    }
  }
});

test('an unknown value is a 400 that names its place', async () => {
  for (const path of paths) {
    for (const [spelling, param] of [
      ['include[]=nothing', 'include[0]'],
      ['include=nothing', 'include[0]'],
      ['include%5B%5D=nothing', 'include[0]'],
      [`include[]=${LOGPROBS}&include[]=nothing`, 'include[1]'],
      [`include=${LOGPROBS}&include=${IMAGES}&include=nothing&include=more`, 'include[2]'],
      [`include=${LOGPROBS},${IMAGES}`, 'include[0]'],
      [`include[]=${LOGPROBS.toUpperCase()}`, 'include[0]'],
      ['include[]=constructor', 'include[0]'],
    ] as const) {
      assertError(await get(holt, `${path}?${spelling}`), 400, {
        type: 'invalid_request_error',
        code: 'invalid_value',
        param,
      });
    }
  }
  assertError(await get(holt, `responses/${id}?stream=true&include[]=nothing`), 400, { param: 'include[0]' });
});

test('encrypted content of what is stored can not be had', async () => {
  for (const path of paths) {
    for (const spelling of [
      `include[]=${ENCRYPTED}`,
      `include=${ENCRYPTED}`,
      `include%5B%5D=${LOGPROBS}&include%5B%5D=${ENCRYPTED}`,
    ]) {
      assertError(await get(holt, `${path}?${spelling}`), 400, {
        type: 'invalid_request_error',
        code: null,
        param: 'include',
        message: 'Encrypted content cannot be requested for persisted responses',
      });
    }
  }
});

test('the official client asks for several, and is told of a wrong one', async () => {
  const { responses } = holt.client;
  const whole = await responses.retrieve(id, { include: [LOGPROBS, IMAGES] });
  assert.equal(whole.status, 'completed');
  const page = await responses.inputItems.list(id, { include: [LOGPROBS, IMAGES] });
  assert.equal(page.data.length, 1);
  const wrong = responses.retrieve(id, { include: [LOGPROBS, 'nothing' as typeof LOGPROBS] });
  await assert.rejects(wrong, (error) => error instanceof OpenAI.BadRequestError && error.param === 'include[1]');
});
