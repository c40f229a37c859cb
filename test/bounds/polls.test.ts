import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, get, pollUntil, responseIn, textOf } from '../contract/wire.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';

/** However many poll a large response that runs, it is written once for each of its states, and each sees the latest. */

const LARGE = 200_000;

test('polls of a large running response share its JSON until there is more of it', async (t) => {
  await using upstream = await startUpstream();
  // What is held is held for a second of its clock. The first deltas of a response are committed at once.
  await using holt = await startHolt({ flags: ['--upstream', upstream.url], overrides: { clock: new FakeClock() } });
  await upstream.script('large', [
    { delta: { content: 'l'.repeat(LARGE) } },
    { gate: 'more' },
    { delta: { content: ' and more' } },
    { gate: 'end' },
    { finish: 'stop' },
    { done: true },
  ]);
  const { id } = await create(holt, { model: 'large', input: 'Hi', background: true });
  let written = 0;
  const { stringify } = JSON;
  t.mock.method(JSON, 'stringify', (...args: Parameters<typeof stringify>) => {
    const json = stringify(...args);
    if (json?.length > LARGE) written += 1;
    return json;
  });
  await pollUntil(holt, id, (response) => textOf(response).length === LARGE);
  const answers = await Promise.all(Array.from({ length: 20 }, () => get(holt, `responses/${id}`)));
  for (const { text, headers } of answers) {
    assert.ok(text === answers[0]?.text);
    assert.equal(headers.get('openai-poll-after-ms'), '2000');
  }
  assert.equal(written, 1);
  assert.equal(responseIn(answers[0] ?? assert.fail()).status, 'in_progress');

  await upstream.release('more');
  const whole = `${'l'.repeat(LARGE)} and more`;
  const grown = await pollUntil(holt, id, (response) => textOf(response) === whole);
  assert.equal(grown.status, 'in_progress');
  await upstream.release('end');
  assert.equal(textOf(await pollUntil(holt, id)), whole);
});
