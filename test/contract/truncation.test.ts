import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { dropOldest } from '../../server/src/domain/truncate-items.ts';
import type { InputItem } from '../../server/src/protocol/items.ts';
import { startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { assertError, create, pollUntil, post, textOf } from './wire.ts';

/** `truncation`: what happens to an input that does not fit into the model's context. */

let upstream: Upstream;
let holt: TestHolt;
before(async () => {
  upstream = await startUpstream();
  holt = await startHolt({ flags: ['--upstream', upstream.url] });
});
after(async () => {
  await holt.stop();
  await upstream.stop();
});

const TOO_LONG = {
  status: 400,
  body: { error: { message: 'This model’s maximum context length is 8 tokens.', code: 'context_length_exceeded' } },
};
const input = [
  { role: 'developer', content: 'Be brief.' },
  ...Array.from({ length: 8 }, (_, index) => ({
    role: index % 2 === 0 ? 'user' : 'assistant',
    content: `turn ${index}`,
  })),
  { role: 'user', content: 'the question' },
];

for (const background of [false, true]) {
  test(`auto: the oldest items go until the upstream takes the rest (background: ${background})`, async () => {
    const model = `short-${background}`;
    await upstream.script(model, {
      first: [TOO_LONG, TOO_LONG],
      steps: [{ delta: { content: 'fits' } }, { finish: 'stop' }, { done: true }],
    });
    const made = await create(holt, { model, input, truncation: 'auto', background });
    assert.equal(made.truncation, 'auto');
    assert.equal(textOf(await pollUntil(holt, made.id)), 'fits');
    const sent = (await upstream.requests(model)).map(({ body }) => body['messages'] as { content: string }[]);
    assert.equal(sent.length, 3);
    const last = sent[2]?.map(({ content }) => content) ?? [];
    assert.equal(last[0], 'Be brief.');
    assert.equal(last.at(-1), 'the question');
    assert.deepEqual(last.slice(1), sent[0]?.map(({ content }) => content).slice(-last.length + 1));
    const listed = await holt.client.responses.inputItems.list(made.id, { limit: 100 });
    assert.equal(listed.data.length, input.length, 'what was asked is not changed');
  });
}

test('auto: when nothing is left to go, it is the error of the upstream', async () => {
  const model = 'hopeless';
  await upstream.script(model, { reply: TOO_LONG });
  const refused = await post(holt, { model, input, truncation: 'auto' });
  assertError(refused, 400, { code: 'context_length_exceeded', param: 'input' });
});

test('disabled, and when it is not said: nothing is left out', async () => {
  const model = 'strict-short';
  await upstream.script(model, { reply: TOO_LONG });
  for (const body of [{ truncation: 'disabled' }, {}]) {
    assertError(await post(holt, { model, input, ...body }), 400, { code: 'context_length_exceeded', param: 'input' });
  }
  assert.equal((await upstream.requests(model)).length, 2);
});

describe('what may go', () => {
  const text = fc.string({ maxLength: 40 });
  const message = (role: 'user' | 'assistant' | 'developer') =>
    text.map((content): InputItem[] => [{ type: 'message', role, content }]);
  const call = fc.tuple(fc.uuid(), text).map(([call_id, output]): InputItem[] => [
    { type: 'function_call', call_id, name: 'f', arguments: '{}' },
    { type: 'function_call_output', call_id, output },
  ]);
  const items = fc
    .array(fc.oneof(message('user'), message('assistant'), message('developer'), call), { maxLength: 20 })
    .map((groups) => groups.flat());

  test('each call makes it shorter, keeps the last question, what the developer said, and calls with their outputs', () => {
    fc.assert(
      fc.property(items, (all) => {
        const question = all.findLast((item) => item.type === 'message' && item.role === 'user');
        const told = all.filter((item) => item.type === 'message' && item.role === 'developer');
        for (let left = all, next = dropOldest(left); next !== undefined; left = next, next = dropOldest(left)) {
          assert.ok(next.length < left.length);
          if (question !== undefined) assert.ok(next.includes(question));
          assert.deepEqual(
            next.filter((item) => item.type === 'message' && item.role === 'developer'),
            told,
          );
          const ids = (type: string): string[] =>
            next.flatMap((item) => (item.type === type && 'call_id' in item ? [item.call_id] : []));
          assert.deepEqual(ids('function_call'), ids('function_call_output'));
          assert.deepEqual(
            next,
            all.filter((item) => next?.includes(item)),
          );
        }
      }),
    );
  });
});
