import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { StoreUnavailable } from '../../server/src/domain/ports.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import type { ApiKey } from '../../server/src/protocol/admin.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { storeAround } from '../support/store-around.ts';
import { ADMIN_KEY, admin, adminJson, bearer, makeKey, makeProject, makeTeam } from './admin-client.ts';
import type { Team } from './admin-client.ts';
import { assertError, call, otter, post } from './wire.ts';
import type { Answer } from './wire.ts';

/** Keys of projects: who is let in, with what, and until when. */

const API_KEY = 'sk-the-key-of-the-house';
const ENV = { HOLT_ADMIN_KEY: ADMIN_KEY, HOLT_API_KEY: API_KEY };

function models(holt: TestHolt, headers: Record<string, string> = {}): Promise<Answer> {
  return call('GET', `${holt.url}/v1/models`, { headers });
}

async function keysOf(holt: TestHolt, projectId: string): Promise<ApiKey[]> {
  return (await adminJson<{ data: ApiKey[] }>(holt, 'GET', `projects/${projectId}/keys`)).data;
}

/** A refusal, without the letters of the key that it shows and what differs from answer to answer. */
function refusalOf(answer: Answer): string {
  assertError(answer, 401, { code: 'invalid_api_key', param: null, type: 'invalid_request_error' });
  assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm=/);
  return answer.text.replace(/provided: \S+/, 'provided: …');
}

describe('a key of a project', () => {
  let holt: TestHolt;
  let team: Team;
  before(async () => {
    holt = await startHolt({ env: ENV });
    team = await makeTeam(holt);
  });
  after(() => holt.stop());

  test('is shown once, and what is stored of it tells nobody what it was', async () => {
    const data = await temporaryDirectory();
    const other = await startHolt({ env: ENV, data });
    const { id } = await makeProject(other);
    const { value, ...shown } = await makeKey(other, id, { name: 'of the robot' });
    assert.match(value, /^sk-holt-[\w-]{43}$/);
    assert.equal(shown.redacted_value, `${value.slice(0, 10)}…${value.slice(-4)}`);
    const listed = await admin(other, 'GET', `projects/${id}/keys`);
    assert.deepEqual(JSON.parse(listed.text), {
      object: 'list',
      data: [shown],
      first_id: shown.id,
      last_id: shown.id,
      has_more: false,
    });
    assert.ok(!(await admin(other, 'GET', 'audit')).text.includes(value.slice(8)));
    await other.stop();
    for (const name of await readdir(data, { recursive: true })) {
      const bytes = await readFile(join(data, name)).catch(() => Buffer.alloc(0));
      assert.ok(!bytes.includes(value.slice(8)), name);
    }
  });

  test('opens its project, which every answer names', async () => {
    const answer = await models(holt, team.headers);
    assert.equal(answer.status, 200);
    assert.deepEqual(
      [answer.headers.get('openai-project'), answer.headers.get('openai-organization')],
      [team.id, 'holt'],
    );
    const stream = await post(holt, otter({ tokens: 1 }, { stream: true, store: false }), team.headers);
    assert.match(stream.headers.get('content-type') ?? '', /^text\/event-stream/);
    assert.equal(stream.headers.get('openai-project'), team.id);
    const own = await models(holt, bearer(API_KEY));
    assert.equal(own.headers.get('openai-project'), 'default');
    const refused = await models(holt, bearer('nonsense'));
    assert.equal(refused.headers.get('openai-project'), null);
  });

  test('is refused in the same words whether it is wrong, expired, revoked or of a project that is gone', async () => {
    const clock = new FakeClock();
    await using timed = await startHolt({ env: ENV, overrides: { clock } });
    const { id } = await makeProject(timed);
    const expires_at = Math.floor(clock.now() / 1000) + 60;
    const expiring = await makeKey(timed, id, { expires_at });
    const revoked = await makeKey(timed, id);
    const lost = await makeTeam(timed);
    for (const { value } of [expiring, revoked, lost.key]) {
      assert.equal((await models(timed, bearer(value))).status, 200);
    }
    assert.equal((await admin(timed, 'DELETE', `projects/${id}/keys/${revoked.id}`)).status, 200);
    assert.equal((await admin(timed, 'DELETE', `projects/${lost.id}`)).status, 200);
    const refusals = [refusalOf(await models(timed, bearer(revoked.value)))];
    refusals.push(refusalOf(await models(timed, lost.headers)));
    clock.advance(59_999);
    assert.equal((await models(timed, bearer(expiring.value))).status, 200);
    clock.advance(1);
    refusals.push(refusalOf(await models(timed, bearer(expiring.value))));
    for (const wrong of [
      `sk-holt-${'x'.repeat(43)}`,
      `${expiring.value.slice(0, -1)}!`,
      expiring.value.toUpperCase(),
      `${expiring.value}x`,
      expiring.id,
      'x'.repeat(8_000),
    ]) {
      refusals.push(refusalOf(await models(timed, bearer(wrong))));
    }
    assert.equal(new Set(refusals).size, 1, refusals.join('\n'));
  });

  test('is no admin key, and the admin key is no key', async () => {
    const answer = await call('GET', `${holt.url}/admin/v1/projects`, { headers: team.headers });
    assertError(answer, 401, { code: 'invalid_admin_key' });
    assertError(await models(holt, bearer(ADMIN_KEY)), 401, { code: 'invalid_api_key' });
  });

  test('goes with no other project or organization than its own', async () => {
    const other = await makeTeam(holt);
    for (const headers of [
      { 'openai-project': team.id },
      { 'openai-organization': 'holt' },
      { 'openai-project': '', 'openai-organization': '' },
    ]) {
      assert.equal((await models(holt, { ...team.headers, ...headers })).status, 200, JSON.stringify(headers));
    }
    for (const named of [other.id, 'default', 'nothing', 'x'.repeat(4_000)]) {
      const answer = await models(holt, { ...team.headers, 'openai-project': named });
      assertError(answer, 401, { code: 'mismatched_project', param: null });
      assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer realm=/);
      assert.ok(answer.text.length < 1_000);
    }
    const organized = await models(holt, { ...team.headers, 'openai-organization': 'org-mine' });
    assertError(organized, 401, { code: 'mismatched_organization', param: null });
    assertError(await models(holt, { ...bearer(API_KEY), 'openai-project': team.id }), 401, {
      code: 'mismatched_project',
    });
    const made = await post(holt, otter({}, { background: true }), { ...team.headers, 'openai-project': other.id });
    assertError(made, 401);
    const { data } = await adminJson<{ data: unknown[] }>(holt, 'GET', `projects/${team.id}/responses`);
    assert.deepEqual(data, [], 'nothing was made');
  });

  test('that is longer than any header may be is refused before it is looked at', async () => {
    const answer = await call('GET', `${holt.url}/v1/models`, { headers: bearer('x'.repeat(20_000)) });
    assertError(answer, 431);
  });

  test('of another project than default sees no figures of all projects', async () => {
    const refused = await call('GET', `${holt.url}/metrics`, { headers: team.headers });
    assertError(refused, 403, { code: 'metrics_of_all' });
    const { value } = await makeKey(holt, 'default');
    for (const key of [API_KEY, value]) {
      assert.equal((await fetch(`${holt.url}/metrics`, { headers: bearer(key) })).status, 200);
    }
  });
});

describe('a server without HOLT_API_KEY', () => {
  test('asks for a key as soon as there is one, and until the last is gone', async () => {
    await using holt = await startHolt({ env: { HOLT_ADMIN_KEY: ADMIN_KEY } });
    assert.equal((await models(holt)).status, 200);
    const key = await makeKey(holt, 'default');
    assertError(await models(holt), 401, { code: null });
    assertError(await models(holt, bearer('anything')), 401, { code: 'invalid_api_key' });
    assert.equal((await models(holt, bearer(key.value))).status, 200);
    assert.equal((await call('GET', `${holt.url}/healthz`)).status, 200);
    assert.equal((await admin(holt, 'DELETE', `projects/default/keys/${key.id}`)).status, 200);
    assert.equal((await models(holt)).status, 200);
  });

  test('is none that others may reach, unless a project has a key; and none is open to them later', async () => {
    const data = await temporaryDirectory();
    const options = { env: { HOLT_ADMIN_KEY: ADMIN_KEY }, data };
    // An address of this machine that is not told apart from any other.
    const reachable = { ...options, flags: ['--host', '127.1'] };
    await assert.rejects(startHolt(reachable), /Holt would listen on 127\.1.* without an API key/);
    const local = await startHolt(options);
    const team = await makeTeam(local);
    await local.stop();
    await using holt = await startHolt(reachable);
    assert.equal((await models(holt, team.headers)).status, 200);
    assert.equal((await admin(holt, 'DELETE', `projects/${team.id}/keys/${team.key.id}`)).status, 200);
    assertError(await models(holt), 401, { code: null });
  });
});

describe('what is known of keys', () => {
  /** A server whose store counts what it is asked for, and the store itself. */
  async function startCounted(t: TestContext): Promise<{
    holt: TestHolt;
    store: Store;
    clock: FakeClock;
    asked: Map<string, number>;
  }> {
    const clock = new FakeClock();
    const asked = new Map<string, number>();
    const stores: Store[] = [];
    const wrapStore = (store: Store): Store => {
      stores.push(store);
      return storeAround(store, (verb, call) => {
        asked.set(verb, (asked.get(verb) ?? 0) + 1);
        return call();
      });
    };
    const holt = await startHolt({ env: ENV, overrides: { clock, wrapStore } });
    t.after(() => holt.stop());
    const [store] = stores;
    assert.ok(store !== undefined);
    return { holt, store, clock, asked };
  }

  test('costs the store one question in five seconds, whoever asks with what', async (t) => {
    const { holt, asked } = await startCounted(t);
    const { headers } = await makeTeam(holt);
    const wrong = `sk-holt-${'x'.repeat(43)}`;
    await Promise.all(Array.from({ length: 20 }, () => models(holt, headers)));
    for (let n = 0; n < 20; n += 1) await models(holt, headers);
    assert.equal(asked.get('findKey'), 1);
    for (let n = 0; n < 20; n += 1) await models(holt, bearer(wrong));
    assert.equal(asked.get('findKey'), 2);
    for (let n = 0; n < 20; n += 1) await models(holt, bearer(`no-key-of-holt-${n}`));
    for (let n = 0; n < 20; n += 1) await models(holt, bearer(API_KEY));
    assert.equal(asked.get('findKey'), 2);
  });

  test('is asked anew after five seconds, since others may have changed it', async (t) => {
    const { holt, store, clock } = await startCounted(t);
    const team = await makeTeam(holt);
    assert.equal((await models(holt, team.headers)).status, 200);
    await store.deleteKey(team.id, team.key.id, clock.now());
    clock.advance(4_999);
    assert.equal((await models(holt, team.headers)).status, 200);
    clock.advance(1);
    assertError(await models(holt, team.headers), 401);
  });

  test('when it was used is written down, at most once a minute', async (t) => {
    const { holt, clock, asked } = await startCounted(t);
    const team = await makeTeam(holt);
    const lastUse = async (): Promise<number | null | undefined> => (await keysOf(holt, team.id))[0]?.last_used_at;
    const used = Math.floor(clock.now() / 1000);
    await models(holt, team.headers);
    assert.equal(await lastUse(), null);
    const until = async (wanted: number): Promise<void> => {
      while ((await lastUse()) !== wanted) clock.advance(1);
    };
    clock.advance(1_000);
    await until(used);
    for (let n = 0; n < 30; n += 1) {
      clock.advance(1_000);
      await models(holt, team.headers);
    }
    assert.equal(asked.get('touchKeys'), 1);
    assert.equal(await lastUse(), used);
    clock.advance(60_000);
    const again = Math.floor(clock.now() / 1000);
    await models(holt, team.headers);
    clock.advance(1_000);
    await until(again);
    assert.equal(asked.get('touchKeys'), 2);
  });

  test('counts on while the store does not answer, which lets nobody in by mistake', async () => {
    const clock = new FakeClock();
    let failing = false;
    const wrapStore = (store: Store): Store =>
      storeAround(store, (verb, call) =>
        failing && verb === 'findKey' ? Promise.reject(new StoreUnavailable('gone')) : call(),
      );
    await using holt = await startHolt({ env: ENV, overrides: { wrapStore, clock } });
    const [known, unknown] = [await makeTeam(holt), await makeTeam(holt)];
    const wrong = bearer(`sk-holt-${'x'.repeat(43)}`);
    assert.equal((await models(holt, known.headers)).status, 200);
    assertError(await models(holt, wrong), 401);
    failing = true;
    assertError(await models(holt, unknown.headers), 503, { code: 'store_unavailable' });
    assert.equal((await models(holt, bearer(API_KEY))).status, 200);
    clock.advance(5_000);
    assert.equal((await models(holt, known.headers)).status, 200);
    assertError(await models(holt, wrong), 401);
    await adminJson(holt, 'DELETE', `projects/${known.id}/keys/${known.key.id}`);
    assertError(await models(holt, known.headers), 503, { code: 'store_unavailable' });
  });
});

test('the official client works with a key of a project, and names the project if it likes', async () => {
  await using holt = await startHolt({ env: ENV });
  const team = await makeTeam(holt);
  const { default: OpenAI } = await import('openai');
  const options = { baseURL: `${holt.url}/v1`, apiKey: team.key.value, maxRetries: 0 };
  const client = new OpenAI({ ...options, project: team.id, organization: 'holt' });
  const made = await client.responses.create({ model: 'otter', input: 'x', metadata: { 'scripted.tokens': '3' } });
  assert.equal(made.status, 'completed');
  const astray = new OpenAI({ ...options, project: 'proj_of_another' });
  await assert.rejects(astray.responses.retrieve(made.id), { status: 401, code: 'mismatched_project' });
  const other = await makeTeam(holt);
  const elsewhere = await call('GET', `${holt.url}/v1/responses/${made.id}`, { headers: other.headers });
  assertError(elsewhere, 404);
});
