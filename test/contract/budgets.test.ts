import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import type { Config } from '../../server/src/config.ts';
import { StoreUnavailable } from '../../server/src/domain/ports.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import { storeAround } from '../support/store-around.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { bearer, makeKey, makeTeam } from './admin-client.ts';
import { BACKGROUND, ENV, limit, startLimited } from './limited.ts';
import { MovedClock } from './moved-clock.ts';
import { SILENT, assertError, cancel, create, get, otter, pollUntil, post, responseIn } from './wire.ts';
import type { Answer, Served } from './wire.ts';

/** Budgets of a day: what counts, when it is used up, and what survives. */

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
});
after(() => upstream.stop());

const NOON_MS = 43_200_000;
const DAY_MS = 86_400_000;

/** The real clock, in the middle of a day. */
function noonClock(): MovedClock {
  const clock = new MovedClock();
  clock.later = NOON_MS - (clock.now() % DAY_MS) + DAY_MS;
  return clock;
}

async function assertSpent(holt: Served, message: RegExp): Promise<Answer> {
  const answer = await post(holt, BACKGROUND);
  assertError(answer, 429, { type: 'insufficient_quota', code: 'insufficient_quota', param: null, message });
  assert.equal(answer.headers.get('x-should-retry'), 'false');
  return answer;
}

test('what is used up is insufficient_quota until the next day, also after a restart', async () => {
  const clock = noonClock();
  const data = await temporaryDirectory();
  const message = /^You exceeded your current quota: project 'default' has used \d+ of 100 tokens for today/;
  {
    await using holt = await startLimited({ overrides: { clock }, data });
    await limit(holt, { tokens_per_day: 100 });
    const { usage } = await create(holt, otter({ tokens: 20 }));
    assert.ok(usage !== null && usage !== undefined && usage.total_tokens < 100, 'the first leaves something');
    const running = await create(holt, otter(SILENT, { background: true }));
    const last = await create(holt, otter({ tokens: 40 }, { background: true }));
    await pollUntil(holt, last.id);
    const refused = await assertSpent(holt, message);
    const untilMidnight = Number(refused.headers.get('retry-after'));
    assert.ok(untilMidnight > 11 * 3_600 && untilMidnight <= 12 * 3_600, String(untilMidnight));

    assert.equal(responseIn(await get(holt, `responses/${running.id}`)).status, 'in_progress', 'it is not cut off');
    assert.equal((await cancel(holt, running.id)).status, 200);
    assert.equal((await post(holt, { model: 'otter', input: 'x' }, {}, 'responses/input_tokens')).status, 200);
  }
  await using holt = await startLimited({ overrides: { clock }, data });
  await assertSpent(holt, message);
  clock.later += NOON_MS + 60_000;
  await create(holt, otter({ tokens: 1 }));
});

test('a server that is killed has counted to the token what was shown to have ended', async () => {
  const data = await temporaryDirectory();
  const one = await spawnHolt({ data, env: ENV });
  const made = await Promise.all(Array.from({ length: 8 }, () => create(one, otter({}, { background: true }))));
  const ended = await Promise.all(made.map(({ id }) => pollUntil(one, id)));
  await one.kill();
  const sum = ended.reduce((tokens, { usage }) => tokens + (usage?.total_tokens ?? Number.NaN), 0);

  await using again = await spawnHolt({ data, env: ENV });
  await limit(again, { tokens_per_day: sum });
  assertError(await post(again, BACKGROUND), 429, {
    code: 'insufficient_quota',
    message: new RegExp(`used ${sum} of`),
  });
  await limit(again, { tokens_per_day: sum + 1 });
  assert.equal((await post(again, BACKGROUND)).status, 200);
});

test('the official client does not try again', async () => {
  await using holt = await startLimited();
  await limit(holt, { tokens_per_day: 1 });
  await create(holt, otter());
  let tries = 0;
  const client = new OpenAI({
    baseURL: `${holt.url}/v1`,
    apiKey: 'none',
    maxRetries: 2,
    fetch: (url, init) => {
      tries += 1;
      return fetch(url, init);
    },
  });
  await assert.rejects(client.responses.create({ model: 'otter', input: 'Hello' }), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.deepEqual([error.code, error.type], ['insufficient_quota', 'insufficient_quota']);
    return true;
  });
  assert.equal(tries, 1);
});

for (const [title, body, path] of [
  ['stored and in the foreground', otter(), 'responses'],
  ['not stored', otter({}, { store: false }), 'responses'],
  ['a compaction', { model: 'otter', input: 'Otters.' }, 'responses/compact'],
] as const) {
  test(`what is ${title} counts, in money by the price of its model`, async () => {
    const data = await temporaryDirectory();
    const configure = (config: Config): void => {
      config.models = { '*': { provider: 'upstream', price: { input: 1_000, output: 1_000 } } };
    };
    {
      await using holt = await startLimited({ data, configure, flags: ['--upstream', upstream.url] });
      await limit(holt, { cost_per_day: 0.001 });
      assert.equal((await post(holt, body, {}, path)).status, 200);
      await assertSpent(holt, /project 'default' has used 0\.\d+ of 0\.001 in money for today/);
    }
    await using again = await startLimited({ data, configure, flags: ['--upstream', upstream.url] });
    await assertSpent(again, /project 'default' has used 0\.\d+ of 0\.001 in money for today/);
  });
}

test('an answer that could not be counted is an answer all the same', async () => {
  let tried = 0;
  const wrapStore = (store: Store): Store =>
    storeAround(store, (verb, verbItself) => {
      if (verb !== 'addUsage') return verbItself();
      tried += 1;
      return Promise.reject(new StoreUnavailable('the disk is away'));
    });
  await using holt = await startLimited({ overrides: { wrapStore } });
  assert.equal((await create(holt, otter({}, { store: false }))).status, 'completed');
  assert.equal(tried, 1);
});

test('a model and a key have budgets, and nobody pays for another', async () => {
  await using holt = await startLimited({
    configure: (config) => {
      config.models = { '*': { provider: 'otter' }, otter: { provider: 'otter', allowance: { tokens_per_day: 1 } } };
    },
  });
  const team = await makeTeam(holt);
  const key = bearer((await makeKey(holt, team.id, { limits: { tokens_per_day: 1 } })).value);
  const ask = (model: string, headers: Record<string, string>): Promise<Answer> =>
    post(holt, otter({ tokens: 1 }, { model }), headers);
  assert.equal((await ask('mink', key)).status, 200);
  assertError(await ask('mink', key), 429, { code: 'insufficient_quota', message: /this API key \('key_/ });
  assert.equal((await ask('mink', team.headers)).status, 200);
  assert.equal((await ask('otter', team.headers)).status, 200);
  assertError(await ask('otter', team.headers), 429, { code: 'insufficient_quota', message: /model 'otter'/ });
  assert.equal((await ask('mink', team.headers)).status, 200);
});
