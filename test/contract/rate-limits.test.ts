import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import type { Config } from '../../server/src/config.ts';
import { FakeClock } from '../support/clock.ts';
import type { TestHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { adminJson, bearer, makeKey, makeTeam } from './admin-client.ts';
import { BACKGROUND, limit, startLimited } from './limited.ts';
import { MovedClock } from './moved-clock.ts';
import { SILENT, assertError, call, cancel, create, get, otter, poll, pollUntil, post, responseIn } from './wire.ts';
import type { Answer } from './wire.ts';

/** Limits as clients meet them: who is sent away, with what, and who never is. */

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
});
after(() => upstream.stop());

/** All models but the demonstration one are an upstream's, which answers at once. */
function startWithUpstream(): Promise<TestHolt> {
  return startLimited({
    flags: ['--upstream', upstream.url],
    configure: (config) => {
      config.providers['otter'] = { kind: 'scripted' };
      config.models['otter'] = { provider: 'otter' };
    },
  });
}

function ratesOf({ headers }: Answer): Record<string, string> {
  return Object.fromEntries(
    [...headers].filter(([name]) => name.startsWith('x-ratelimit-')).map(([name, value]) => [name.slice(12), value]),
  );
}

function assertLimited(answer: Answer, message: RegExp, atMost = 60): void {
  assertError(answer, 429, { type: 'rate_limit_error', code: 'rate_limit_exceeded', param: null, message });
  assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  assert.ok(Number(answer.headers.get('retry-after')) <= atMost);
  assert.equal(answer.headers.get('x-should-retry'), 'true');
}

describe('requests a minute', () => {
  test('beyond the limit a create is a 429 that names it, leaves nothing, and succeeds when it said so', async () => {
    const clock = new MovedClock();
    await using holt = await startLimited({ overrides: { clock } });
    await limit(holt, { requests_per_minute: 2 });
    const first = await post(holt, BACKGROUND);
    assert.equal(first.status, 200);
    const { 'reset-requests': reset, ...rates } = ratesOf(first);
    assert.deepEqual(rates, { 'limit-requests': '2', 'remaining-requests': '1' });
    assert.match(reset ?? '', /^(30|29(\.\d{1,3})?)s$/);
    assert.equal((await post(holt, otter())).status, 200);

    const refused = await post(holt, BACKGROUND);
    assertLimited(refused, /^Rate limit reached for project 'default' on requests per min \(RPM\): Limit 2, Used 2, /);
    assert.equal(ratesOf(refused)['remaining-requests'], '0');
    const { data } = await adminJson<{ data: unknown[] }>(holt, 'GET', 'projects/default/responses');
    assert.equal(data.length, 2);

    clock.later += Number(refused.headers.get('retry-after')) * 1_000;
    assert.equal((await post(holt, BACKGROUND)).status, 200);
  });

  test('a create that is refused for another reason has used nothing, and its headers say so', async () => {
    await using holt = await startLimited({
      configure: (config) => {
        config.worker.concurrency = 1;
        config.queue.max = 0;
      },
    });
    await limit(holt, { requests_per_minute: 3, background_running: 1 });
    const held = await post(holt, otter(SILENT, { background: true }));
    assert.equal(ratesOf(held)['remaining-requests'], '2');
    const tooMany = await post(holt, otter(SILENT, { background: true }));
    assertError(tooMany, 429, { message: /on background responses/ });
    assert.equal(ratesOf(tooMany)['remaining-requests'], '2');
    await limit(holt, { requests_per_minute: 3 });
    const full = await post(holt, otter(SILENT, { background: true }));
    assertError(full, 429, { message: /queue/ });
    assert.equal(ratesOf(full)['remaining-requests'], '2');
  });

  test('compact and input_tokens count, all that reads or ends what is there does not', async () => {
    await using holt = await startWithUpstream();
    await limit(holt, { requests_per_minute: 4 });
    const { id } = responseIn(await post(holt, otter(SILENT, { background: true })));
    const done = responseIn(await post(holt, otter()));
    const small = { model: 'quick', input: 'Otters.' };
    const counted = await post(holt, small, {}, 'responses/input_tokens');
    assert.deepEqual([counted.status, ratesOf(counted)['remaining-requests']], [200, '1']);
    const compacted = await post(holt, small, {}, 'responses/compact');
    assert.deepEqual([compacted.status, ratesOf(compacted)['remaining-requests']], [200, '0']);
    for (const path of ['responses', 'responses/compact', 'responses/input_tokens']) {
      assertLimited(await post(holt, small, {}, path), /requests per min/);
    }

    for (let poll = 0; poll < 10; poll += 1) {
      const answer = await get(holt, `responses/${id}`);
      assert.deepEqual([answer.status, ratesOf(answer)], [200, {}]);
    }
    assert.equal((await get(holt, `responses/${done.id}/input_items`)).status, 200);
    assert.equal((await cancel(holt, id)).status, 200);
    assert.equal((await get(holt, `responses/${id}?stream=true`)).status, 400, 'it was not created with a stream');
    assert.equal((await call('DELETE', `${holt.url}/v1/responses/${id}`)).status, 200);
  });

  test('what is a 400 counts nothing, and a stream says what is left in its headers', async () => {
    await using holt = await startLimited();
    await limit(holt, { requests_per_minute: 1 });
    assertError(await post(holt, { ...BACKGROUND, temperature: 9 }), 400);
    assertError(await post(holt, { ...BACKGROUND, previous_response_id: 'resp_none' }), 400);
    const stream = await post(holt, { ...BACKGROUND, stream: true });
    assert.match(stream.headers.get('content-type') ?? '', /^text\/event-stream/);
    assert.deepEqual([stream.status, ratesOf(stream)['remaining-requests']], [200, '0']);
    assertLimited(await post(holt, { ...BACKGROUND, stream: true }), /requests per min/);
  });

  test('the limits of a project, a key and a model hold together, and a page may read them', async () => {
    const origin = 'https://app.example';
    await using holt = await startLimited({
      configure: (config: Config) => {
        config.server.cors = [origin];
        config.models = { '*': { provider: 'otter', allowance: { requests_per_minute: 5 } } };
      },
    });
    const team = await makeTeam(holt, { limits: { requests_per_minute: 4 } });
    const narrow = await makeKey(holt, team.id, { limits: { requests_per_minute: 1 } });
    const ask = (key: { authorization: string }): Promise<Answer> => post(holt, BACKGROUND, { ...key, origin });

    const first = await ask(bearer(narrow.value));
    assert.equal(ratesOf(first)['limit-requests'], '1');
    const exposed = (first.headers.get('access-control-expose-headers') ?? '').split(', ');
    for (const name of Object.keys(ratesOf(first))) assert.ok(exposed.includes(`x-ratelimit-${name}`), name);
    assertLimited(await ask(bearer(narrow.value)), new RegExp(`this API key \\('${narrow.id}'\\) .*Limit 1,`));
    for (let n = 0; n < 3; n += 1) assert.equal((await ask(team.headers)).status, 200);
    assertLimited(await ask(team.headers), new RegExp(`project '${team.id}' .*Limit 4,`));

    const other = await makeTeam(holt);
    assert.equal(ratesOf(await ask(other.headers))['remaining-requests'], '0');
    assertLimited(await ask(other.headers), /all models that '\*' stands for .*Limit 5,/);
  });

  test('a change of the limits counts at once, and without limits nothing is said of them', async () => {
    await using holt = await startLimited();
    assert.deepEqual(ratesOf(await post(holt, BACKGROUND)), {});
    await limit(holt, { requests_per_minute: 1 });
    assert.equal((await post(holt, BACKGROUND)).status, 200);
    assertLimited(await post(holt, BACKGROUND), /Limit 1,/);
    await limit(holt, { requests_per_minute: 3 });
    assert.equal(ratesOf(await post(holt, BACKGROUND))['remaining-requests'], '1');
    await limit(holt, {});
    assert.deepEqual(ratesOf(await post(holt, BACKGROUND)), {});
  });

  test('the official client waits as long as it is told and tries again', async () => {
    const clock = new FakeClock();
    await using holt = await startLimited({ overrides: { clock } });
    await limit(holt, { requests_per_minute: 60 });
    await Promise.all(Array.from({ length: 60 }, () => create(holt, BACKGROUND)));
    const statuses: number[] = [];
    const client = new OpenAI({
      baseURL: `${holt.url}/v1`,
      apiKey: 'none',
      fetch: async (url, init) => {
        const answer = await fetch(url, init);
        statuses.push(answer.status);
        if (answer.status === 429) clock.advance(Number(answer.headers.get('retry-after')) * 1_000);
        return answer;
      },
    });
    const made = await client.responses.create({ model: 'otter', input: 'Hello', background: true });
    assert.match(made.id, /^resp_/);
    assert.deepEqual(statuses, [429, 200]);
  });
});

describe('tokens a minute', () => {
  test('the most that a request can take counts before it runs, and what it took afterwards', async () => {
    await using holt = await startWithUpstream();
    await limit(holt, { tokens_per_minute: 10_000 });
    const over = { max_output_tokens: 9_000 };
    const first = await post(holt, otter(SILENT, { ...over, background: true }));
    assert.equal(ratesOf(first)['limit-tokens'], '10000');
    assert.ok(Number(ratesOf(first)['remaining-tokens']) < 1_000);
    assertLimited(
      await post(holt, otter({}, over)),
      /on tokens per min \(TPM\): Limit 10000, Used 9\d{3}, Requested 9\d{3}/,
    );
    assert.equal((await cancel(holt, responseIn(first).id)).status, 200);

    const second = await post(holt, otter({ tokens: 20 }, over));
    assert.equal(second.status, 200, 'nothing had come out of what was cancelled');
    const third = await post(holt, otter({ tokens: 20 }, { ...over, background: true }));
    assert.equal(third.status, 200, 'and little of what had ended');
    await pollUntil(holt, responseIn(third).id);
    assert.equal((await post(holt, otter({ tokens: 20 }, { ...over, store: false }))).status, 200);
    const compacted = await post(holt, { model: 'quick', input: 'Otters.' }, {}, 'responses/compact');
    assert.ok(Number(ratesOf(compacted)['remaining-tokens']) > 5_000);
  });

  test('more than a minute has is refused for good', async () => {
    await using holt = await startLimited();
    await limit(holt, { tokens_per_minute: 100 });
    const refused = await post(holt, otter({}, { input: 'otter '.repeat(200) }));
    const message = /^Request too large for project 'default' on tokens per min \(TPM\): Limit 100, Requested 3\d\d\./;
    assertError(refused, 429, { type: 'rate_limit_error', code: 'rate_limit_exceeded', param: null, message });
    assert.equal(refused.headers.get('x-should-retry'), 'false');
    assert.equal(refused.headers.get('retry-after'), null);
    assert.equal(ratesOf(refused)['remaining-tokens'], '100');
  });
});

describe('background responses that are unfinished', () => {
  const HELD = { model: 'held', input: 'Hello', background: true };
  const MESSAGE = /^Rate limit reached for project 'default' on background responses: Limit \d queued or running/;

  test('of a burst no more than the limit are made, and no upstream hears of the others', async () => {
    await upstream.script('held', [{ gate: 'held' }, { delta: { content: 'x' } }, { finish: 'stop' }, { done: true }]);
    await using holt = await startWithUpstream();
    await limit(holt, { background_running: 3 });
    const burst = await Promise.all(Array.from({ length: 20 }, () => post(holt, HELD)));
    const made = burst.filter(({ status }) => status === 200);
    assert.equal(made.length, 3);
    for (const answer of burst) if (answer.status !== 200) assertLimited(answer, MESSAGE);
    await upstream.waitForRequest('held', 3);

    await upstream.release('held');
    for (const answer of made) await pollUntil(holt, responseIn(answer).id);
    await pollUntil(holt, (await create(holt, HELD)).id);
    assert.equal((await upstream.requests('held')).length, 4);
  });

  test('what waits in the queue counts, until it is cancelled or ends', async () => {
    await using holt = await startLimited({ configure: (config) => (config.worker.concurrency = 1) });
    await limit(holt, { background_running: 2 });
    const ask = otter(SILENT, { background: true });
    const running = await create(holt, ask);
    const waiting = await create(holt, ask);
    assert.equal((await poll(holt, waiting.id)).status, 'queued');
    assertLimited(await post(holt, ask), MESSAGE);
    assert.equal((await cancel(holt, waiting.id)).status, 200);
    await create(holt, ask);
    assertLimited(await post(holt, ask), MESSAGE);
    assert.equal((await call('DELETE', `${holt.url}/v1/responses/${running.id}`)).status, 200);
    await create(holt, ask);
  });

  test('a key has its own, and a refusal takes nothing of what a minute has', async () => {
    await using holt = await startLimited();
    const team = await makeTeam(holt, { limits: { background_running: 3, requests_per_minute: 10 } });
    const key = bearer((await makeKey(holt, team.id, { limits: { background_running: 1 } })).value);
    const ask = otter(SILENT, { background: true });
    assert.equal((await post(holt, ask, key)).status, 200);
    for (let n = 0; n < 5; n += 1) assertLimited(await post(holt, ask, key), /this API key \('key_/);
    assert.equal((await post(holt, otter(), key)).status, 200, 'foreground ones do not count');
    const second = await post(holt, ask, team.headers);
    assert.deepEqual([second.status, ratesOf(second)['remaining-requests']], [200, '7']);
    assert.equal((await post(holt, ask, team.headers)).status, 200);
    assertLimited(await post(holt, ask, team.headers), new RegExp(`project '${team.id}'`));
  });
});
