import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { StoreDamaged, StoreUnavailable } from '../../server/src/domain/ports.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import type { Project } from '../../server/src/protocol/admin.ts';
import { TextFinder } from '../support/find-text.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { InProcess, TestHolt } from '../support/holt.ts';
import { storeAround } from '../support/store-around.ts';
import { Receiver } from '../support/webhook-receiver.ts';
import { ADMIN_KEY, admin, adminJson, audited, makeKey, makeProject, makeTeam } from './admin-client.ts';
import type { Team } from './admin-client.ts';
import { MovedClock } from './moved-clock.ts';
import { LOCAL } from './webhook-endpoint.ts';
import { SILENT, assertError, call, jsonRequest, otter, post, responseIn, within } from './wire.ts';
import type { Answer, WireResponse } from './wire.ts';

/** Projects over `/admin/v1`: what one is, what becomes of it, and who has done what. */

const ENV = { HOLT_ADMIN_KEY: ADMIN_KEY };

async function createIn(holt: TestHolt, team: Team, body: object): Promise<WireResponse> {
  return responseIn(await post(holt, body, team.headers));
}

function getIn(holt: TestHolt, team: Team, path: string): Promise<Answer> {
  return call('GET', `${holt.url}/v1/${path}`, { headers: team.headers });
}

async function endedIn(holt: TestHolt, team: Team, body: object): Promise<WireResponse> {
  const { id } = await createIn(holt, team, { ...body, background: true });
  return responseIn(await getIn(holt, team, `responses/${id}?wait=20`));
}

/** What a response says of `store`, which the types of the client leave out. */
function storedBy(response: WireResponse): unknown {
  return 'store' in response ? response.store : undefined;
}

describe('a project', () => {
  let holt: TestHolt;
  before(async () => {
    holt = await startHolt({ env: ENV });
  });
  after(() => holt.stop());

  test('is made, listed, changed and shown as it is', async () => {
    const made = await makeProject(holt, { name: 'Research' });
    assert.match(made.id, /^proj_[0-9a-f]{48}$/);
    assert.deepEqual(made, {
      id: made.id,
      object: 'project',
      name: 'Research',
      retention: null,
      weight: 1,
      max_running: null,
      limits: {},
      created_at: made.created_at,
      updated_at: made.created_at,
    });
    assert.ok(Math.abs(made.created_at - Date.now() / 1000) < 60);
    const change = {
      name: 'Development',
      retention: 'modified_abuse_monitoring',
      weight: 1_000,
      max_running: 1_000_000,
      limits: { requests_per_minute: 60, cost_per_day: 0.5 },
    };
    const changed = await adminJson<Project>(holt, 'POST', `projects/${made.id}`, change);
    assert.deepEqual(changed, { ...made, ...change, updated_at: changed.updated_at });
    const back = await adminJson<Project>(holt, 'POST', `projects/${made.id}`, { retention: null, limits: {} });
    assert.deepEqual([back.retention, back.limits, back.weight], [null, {}, 1_000]);
    assert.deepEqual(await adminJson(holt, 'GET', `projects/${made.id}`), back);
    const other = await makeProject(holt);
    const page = await adminJson<{ data: Project[]; has_more: boolean }>(holt, 'GET', 'projects?limit=2');
    assert.deepEqual([page.data.map(({ id }) => id), page.has_more], [[other.id, made.id], true]);
    const rest = await adminJson<{ data: Project[] }>(holt, 'GET', `projects?after=${made.id}`);
    assert.deepEqual(
      rest.data.map(({ id, name }) => [id, name]),
      [['default', 'Default']],
    );
  });

  const NAMES: [unknown, string][] = [
    [undefined, 'name'],
    ['', 'name'],
    ['x'.repeat(201), 'name'],
    [7, 'name'],
    [null, 'name'],
  ];
  const FIELDS: [object, string][] = [
    [{ weight: 0 }, 'weight'],
    [{ weight: 1_001 }, 'weight'],
    [{ weight: 1.5 }, 'weight'],
    [{ weight: '3' }, 'weight'],
    [{ weight: null }, 'weight'],
    [{ max_running: 0 }, 'max_running'],
    [{ max_running: 1_000_001 }, 'max_running'],
    [{ retention: 'forever' }, 'retention'],
    [{ retention: 1 }, 'retention'],
    [{ limits: { requests_per_minute: 0 } }, 'limits.requests_per_minute'],
    [{ limits: { tokens_per_minute: -1 } }, 'limits.tokens_per_minute'],
    [{ limits: { background_running: 1.5 } }, 'limits.background_running'],
    [{ limits: { tokens_per_day: '5' } }, 'limits.tokens_per_day'],
    [{ limits: { cost_per_day: 0 } }, 'limits.cost_per_day'],
    [{ limits: { anything: 1 } }, 'limits.anything'],
    [{ limits: null }, 'limits'],
    [{ limits: [] }, 'limits'],
    [{ id: 'proj_mine' }, 'id'],
    [{ created_at: 1 }, 'created_at'],
  ];

  test('is not made or changed by halves: what is wrong is named, and nothing is written', async () => {
    const { id } = await makeProject(holt);
    const asItWas = await adminJson(holt, 'GET', `projects/${id}`);
    const before = await audited(holt);
    for (const [name, param] of NAMES) {
      assertError(await admin(holt, 'POST', 'projects', { name }), 400, { param });
    }
    for (const [fields, param] of FIELDS) {
      assertError(await admin(holt, 'POST', 'projects', { name: 'x', ...fields }), 400, { param });
      assertError(await admin(holt, 'POST', `projects/${id}`, { name: 'another', ...fields }), 400, { param });
    }
    for (const body of ['{', '[]', '"x"', 'null']) {
      const headers = { authorization: `Bearer ${ADMIN_KEY}` };
      assertError(await call('POST', `${holt.url}/admin/v1/projects`, jsonRequest(body, headers)), 400);
    }
    assert.deepEqual(await adminJson(holt, 'GET', `projects/${id}`), asItWas);
    assert.deepEqual(await audited(holt), before);
  });

  test('that is not there is a 404 for all that could be in it', async () => {
    const { id: keyless } = await makeProject(holt);
    for (const id of ['proj_nothing', 'x', 'Default', '..%2F', '%00', 'x'.repeat(3_000)]) {
      for (const [method, path, body] of [
        ['GET', '', undefined],
        ['POST', '', { name: 'x' }],
        ['DELETE', '', undefined],
        ['GET', '/keys', undefined],
        ['POST', '/keys', { name: 'x' }],
        ['GET', '/responses', undefined],
        ['GET', '/responses/resp_1', undefined],
        ['POST', '/responses/resp_1/cancel', {}],
      ] as const) {
        assertError(await admin(holt, method, `projects/${id}${path}`, body), 404, { message: /^Project with id/ });
      }
      assertError(await admin(holt, 'DELETE', `projects/${id}/keys/key_1`), 404);
    }
    const { id: key } = await makeKey(holt, 'default');
    const elsewhere = await admin(holt, 'DELETE', `projects/${keyless}/keys/${key}`);
    assertError(elsewhere, 404, { message: `API key with id '${key}' not found in project '${keyless}'.` });
    for (const path of ['projects', 'audit', 'projects/default/keys', 'projects/default/responses']) {
      assertError(await admin(holt, 'GET', `${path}?after=nothing`), 400, { param: 'after' });
      assertError(await admin(holt, 'GET', `${path}?limit=101`), 400, { param: 'limit' });
    }
    assertError(await admin(holt, 'GET', 'projects/default/responses?status=done'), 400, { param: 'status' });
  });

  test('a key with a bad name, limit or expiry is none', async () => {
    const past = Math.floor(Date.now() / 1000) - 1;
    for (const [fields, param] of [
      ...NAMES.map(([name, at]): [object, string] => [{ name }, at]),
      ...FIELDS.filter(([fields]) => 'limits' in fields),
      [{ expires_at: past }, 'expires_at'],
      [{ expires_at: 'tomorrow' }, 'expires_at'],
      [{ expires_at: 1.5 }, 'expires_at'],
      [{ value: 'sk-mine' }, 'value'],
    ] as [object, string][]) {
      assertError(await admin(holt, 'POST', 'projects/default/keys', { name: 'x', ...fields }), 400, { param });
    }
  });
});

describe('what an admin does', () => {
  test('is written down, with what it changed and without a secret', async () => {
    await using holt = await startHolt({ env: ENV });
    const team = await makeTeam(holt, { name: 'Research' });
    await adminJson(holt, 'POST', `projects/${team.id}`, { retention: 'zero_data_retention', name: 'Research' });
    await adminJson(holt, 'POST', `projects/${team.id}`, { retention: 'zero_data_retention' });
    const { id } = await createIn(holt, team, otter(SILENT, { background: true }));
    const place = `projects/${team.id}/responses/${id}`;
    await adminJson(holt, 'GET', place);
    await adminJson(holt, 'POST', `${place}/cancel`);
    await adminJson(holt, 'POST', `${place}/cancel`);
    await adminJson(holt, 'DELETE', `projects/${team.id}/keys/${team.key.id}`);
    await adminJson(holt, 'DELETE', `projects/${team.id}`);
    const to = join(await temporaryDirectory(), 'backup');
    await adminJson(holt, 'POST', 'backup', { to });
    assert.deepEqual((await audited(holt)).toReversed(), [
      {
        action: 'project.create',
        target: team.id,
        detail: { name: 'Research', retention: null, weight: 1, max_running: null, limits: {} },
      },
      {
        action: 'key.create',
        target: team.key.id,
        detail: { project: team.id, name: 'of a test', limits: {}, expires_at: null },
      },
      {
        action: 'project.update',
        target: team.id,
        detail: { retention: { from: null, to: 'zero_data_retention' } },
      },
      { action: 'response.show', target: id, detail: { project: team.id } },
      { action: 'response.cancel', target: id, detail: { project: team.id } },
      { action: 'key.revoke', target: team.key.id, detail: { project: team.id, name: 'of a test' } },
      { action: 'project.delete', target: team.id, detail: { name: 'Research' } },
      { action: 'backup.create', target: to, detail: {} },
    ]);
  });
});

describe('the responses of a project', () => {
  test('are listed without what they say, and one can be shown and cancelled', async () => {
    await using holt = await startHolt({ env: ENV });
    const [team, other] = [await makeTeam(holt), await makeTeam(holt)];
    const ended = await endedIn(holt, team, otter());
    const running = await createIn(holt, team, otter(SILENT, { background: true }));
    const elsewhere = await endedIn(holt, other, otter());
    const list = async (query = ''): Promise<string[]> => {
      const { data } = await adminJson<{ data: { id: string }[] }>(
        holt,
        'GET',
        `projects/${team.id}/responses${query}`,
      );
      return data.map(({ id }) => id);
    };
    assert.deepEqual(await list(), [running.id, ended.id]);
    assert.deepEqual(await list('?status=in_progress'), [running.id]);
    assert.deepEqual(await list('?status=queued'), []);
    assert.deepEqual(await list(`?after=${running.id}`), [ended.id]);
    const { data } = await adminJson<{ data: object[] }>(holt, 'GET', `projects/${team.id}/responses?status=completed`);
    assert.deepEqual(data, [
      {
        id: ended.id,
        object: 'response.listed',
        status: 'completed',
        model: 'otter',
        background: true,
        created_at: ended.created_at,
        completed_at: ended.completed_at,
      },
    ]);
    assert.deepEqual(await adminJson(holt, 'GET', `projects/${team.id}/responses/${ended.id}`), ended);
    assertError(await admin(holt, 'GET', `projects/${team.id}/responses/${elsewhere.id}`), 404);
    assertError(await admin(holt, 'POST', `projects/${team.id}/responses/${elsewhere.id}/cancel`), 404);
    const cancelled = await adminJson<WireResponse>(holt, 'POST', `projects/${team.id}/responses/${running.id}/cancel`);
    assert.equal(cancelled.status, 'cancelled');
    assert.deepEqual(responseIn(await getIn(holt, team, `responses/${running.id}`)), cancelled);
  });
});

describe('the webhook endpoints of a project', () => {
  test('are managed by an admin as by its own keys, and that is written down', async () => {
    await using receiver = await Receiver.start();
    await using holt = await startHolt({ ...LOCAL, env: ENV });
    const [team, other] = [await makeTeam(holt), await makeTeam(holt)];
    const place = `projects/${team.id}/webhook_endpoints`;
    const body = { name: 'mine', url: receiver.url(), event_types: ['response.completed'] };
    const { signing_secret: secret, ...made } = await adminJson<{ id: string; signing_secret: string }>(
      holt,
      'POST',
      place,
      body,
    );
    assert.match(secret, /^whsec_/);
    const { data } = await adminJson<{ data: object[] }>(holt, 'GET', place);
    assert.deepEqual(data, [made]);
    assert.deepEqual(JSON.parse((await getIn(holt, team, `webhook_endpoints/${made.id}`)).text), made);
    const ended = await endedIn(holt, team, otter());
    await receiver.until((hits) => hits.length === 1, 'the delivery');
    const deliveries = await adminJson<{ data: { id: string; response_id: string }[] }>(
      holt,
      'GET',
      `${place}/${made.id}/deliveries`,
    );
    assert.deepEqual(
      deliveries.data.map((delivery) => delivery.response_id),
      [ended.id],
    );
    const delivery = deliveries.data[0]?.id ?? '';
    await adminJson(holt, 'POST', `${place}/${made.id}/deliveries/${delivery}/redeliver`);
    await receiver.until((hits) => hits.length === 2, 'the same again');
    await adminJson(holt, 'POST', `${place}/${made.id}/test`, { event_type: 'response.completed' });
    await receiver.until((hits) => hits.length === 3, 'the sample');
    const elsewhere = `projects/${other.id}/webhook_endpoints/${made.id}`;
    for (const [method, path] of [
      ['DELETE', elsewhere],
      ['GET', `${elsewhere}/deliveries`],
      ['POST', `${elsewhere}/deliveries/${delivery}/redeliver`],
      ['POST', elsewhere],
      ['POST', `${elsewhere}/rotate_secret`],
    ] as const) {
      assertError(await admin(holt, method, path), 404);
    }
    assertError(await admin(holt, 'POST', place, { ...body, url: 'ftp://x' }), 400, { param: 'url' });
    assertError(await admin(holt, 'GET', 'projects/proj_nothing/webhook_endpoints'), 404, { message: /^Project/ });
    const named = await adminJson<{ name: string }>(holt, 'POST', `${place}/${made.id}`, { name: 'ours' });
    assert.equal(named.name, 'ours');
    const rotated = await adminJson<{ signing_secret: string }>(holt, 'POST', `${place}/${made.id}/rotate_secret`);
    assert.notEqual(rotated.signing_secret, secret);
    await adminJson(holt, 'DELETE', `${place}/${made.id}`);
    const entries = (await audited(holt)).filter(({ action }) => action.startsWith('webhook'));
    assert.deepEqual(entries.toReversed(), [
      { action: 'webhook_endpoint.create', target: made.id, detail: { project: team.id, name: 'mine' } },
      { action: 'webhook_delivery.redeliver', target: delivery, detail: { project: team.id, endpoint: made.id } },
      { action: 'webhook_endpoint.update', target: made.id, detail: { project: team.id, changed: ['name'] } },
      { action: 'webhook_endpoint.rotate_secret', target: made.id, detail: { project: team.id, kept_old: false } },
      { action: 'webhook_endpoint.delete', target: made.id, detail: { project: team.id } },
    ]);
  });
});

describe('the retention of a project', () => {
  const BEFORE = 'Ambidextrous lighthouse keepers collect marmalade.';
  const AFTER = 'Eleven narwhals juggle flamboyant cucumbers.';

  test('counts for what is said from now on: what was said before stays, what is said after is sealed', async () => {
    const clock = new MovedClock();
    await using holt = await startHolt({ env: ENV, overrides: { clock } });
    const team = await makeTeam(holt, { retention: 'standard' });
    const kept = await endedIn(holt, team, otter({}, { input: BEFORE }));
    const conversation = await post(holt, {}, team.headers, 'conversations');
    assert.equal(conversation.status, 200);
    await adminJson(holt, 'POST', `projects/${team.id}`, { retention: 'zero_data_retention' });
    const sealed = await endedIn(holt, team, otter({}, { input: AFTER, store: true }));
    assert.deepEqual([storedBy(kept), storedBy(sealed)], [true, false]);
    assert.deepEqual(new TextFinder({ AFTER }).inDirectory(holt.data), []);
    assert.notDeepEqual(new TextFinder({ BEFORE }).inDirectory(holt.data), [], 'it would be found');
    assertError(await post(holt, {}, team.headers, 'conversations'), 400, { message: /zero data retention/ });
    const follow = otter({}, { previous_response_id: kept.id, background: true });
    const chained = await endedIn(holt, team, follow);
    assert.equal(storedBy(chained), false);

    clock.later = 601_000;
    for (const { id } of [sealed, chained]) assertError(await getIn(holt, team, `responses/${id}`), 404);
    assert.deepEqual(responseIn(await getIn(holt, team, `responses/${kept.id}`)), kept);

    await adminJson(holt, 'POST', `projects/${team.id}`, { retention: 'standard' });
    const again = await endedIn(holt, team, otter());
    assert.equal(storedBy(again), true);
  });

  test('is what the configuration says where the project says nothing, and its own where it does', async () => {
    await using holt = await startHolt({ env: ENV, flags: ['--retention', 'zero_data_retention'] });
    const [silent, standard] = [await makeTeam(holt), await makeTeam(holt, { retention: 'standard' })];
    assert.equal(storedBy(await endedIn(holt, silent, otter())), false);
    assert.equal(storedBy(await endedIn(holt, standard, otter())), true);
    await adminJson(holt, 'POST', 'projects/default', { retention: 'standard' });
    const key = await makeKey(holt, 'default');
    const team = { id: 'default', key, headers: { authorization: `Bearer ${key.value}` } };
    assert.equal(storedBy(await endedIn(holt, team, otter())), true);
  });
});

describe('deleting a project', () => {
  /** A server, and when it says that a deleted project is forgotten. */
  async function startTold(
    t: TestContext,
    options: InProcess = {},
  ): Promise<{ holt: TestHolt; forgotten: Promise<void> }> {
    const { promise: forgotten, resolve } = Promise.withResolvers<void>();
    const quiet = (): void => undefined;
    const info = (_fields: object, message: string): void => {
      if (message === 'a deleted project is forgotten') resolve();
    };
    const log = { debug: quiet, info, warn: quiet, error: quiet };
    const overrides = { ...options.overrides, log };
    const holt = await startHolt({ ...LOCAL, env: ENV, ...options, overrides });
    t.after(() => holt.stop());
    return { holt, forgotten };
  }

  function rowsOf(data: string, project: string): Record<string, unknown> {
    const db = new DatabaseSync(join(data, 'holt.db'), { readOnly: true });
    const count = (from: string): unknown => db.prepare(`select count(*) as n from ${from}`).get()?.['n'];
    const rows = {
      responses: count(`response where project_id = '${project}' and deleted_at is null`),
      content: count(`chunk where length(body) > 0 and response_no in
        (select no from response where project_id = '${project}')`),
      items: count('conversation_item'),
      conversations: count(`conversation where project_id = '${project}'`),
      endpoints: count(`webhook_endpoint where project_id = '${project}'`),
      deliveries: count('webhook_delivery'),
      keys: count(`api_key where project_id = '${project}'`),
      idempotency: count(`idempotency where project_id = '${project}'`),
      usage: count(`usage where project_id = '${project}'`),
    };
    db.close();
    return rows;
  }
  const NOTHING = {
    responses: 0,
    content: 0,
    items: 0,
    conversations: 0,
    endpoints: 0,
    deliveries: 0,
    keys: 0,
    idempotency: 0,
    usage: 0,
  };

  test('stops its keys and what runs at once, tells nobody, and leaves nothing of it', async (t) => {
    await using receiver = await Receiver.start();
    const data = await temporaryDirectory();
    const { holt, forgotten } = await startTold(t, {
      data,
      configure: (config) => {
        LOCAL.configure?.(config);
        config.worker.concurrency = 2;
      },
    });
    const [team, other] = [await makeTeam(holt), await makeTeam(holt)];
    const kept = await endedIn(holt, other, otter());
    const ended = await endedIn(holt, team, otter());
    const url = receiver.url();
    const endpoint = await post(
      holt,
      { name: 'x', url, event_types: ['response.cancelled', 'response.failed'] },
      team.headers,
      'webhook_endpoints',
    );
    assert.equal(endpoint.status, 200, endpoint.text);
    const items = [{ role: 'user', content: 'hello' }];
    assert.equal((await post(holt, { items }, team.headers, 'conversations')).status, 200);
    const again = { ...team.headers, 'idempotency-key': 'once' };
    const once = responseIn(await post(holt, otter({}, { background: true }), again));
    assert.equal((await getIn(holt, team, `responses/${once.id}?wait=20`)).status, 200);
    assert.equal(responseIn(await post(holt, otter({}, { background: true }), again)).id, once.id);
    const foreground = post(holt, otter(SILENT), team.headers);
    const running = await createIn(holt, team, otter(SILENT, { background: true }));
    const queued = await createIn(holt, team, otter(SILENT, { background: true }));
    const waiting = getIn(holt, team, `responses/${running.id}?wait=60`);

    await adminJson(holt, 'DELETE', `projects/${team.id}`);
    for (const { id } of [ended, running, queued]) {
      assertError(await getIn(holt, team, `responses/${id}`), 401, { code: 'invalid_api_key' });
      assertError(await admin(holt, 'GET', `projects/${team.id}/responses/${id}`), 404);
    }
    assertError(await post(holt, otter(), team.headers), 401);
    await within(20_000, forgotten, 'it is forgotten');
    assertError(await within(20_000, foreground, 'the end of a foreground request'), 401);
    assertError(await within(20_000, waiting, 'the end of a wait'), 404);
    assert.deepEqual(receiver.hits, []);
    // Both slots are free again.
    assert.equal((await endedIn(holt, other, otter())).status, 'completed');
    assert.equal((await getIn(holt, other, `responses/${kept.id}`)).status, 200);
    await holt.stop();
    assert.deepEqual(rowsOf(data, team.id), NOTHING);
    assert.equal(rowsOf(data, other.id)['responses'], 2);
  });

  test('goes on after the process has died over it', async (t) => {
    const data = await temporaryDirectory();
    const unable = await startHolt({
      env: ENV,
      data,
      overrides: {
        wrapStore: (store) =>
          storeAround(store, (verb, run) =>
            verb === 'forgetProject' ? Promise.reject(new StoreUnavailable('not now')) : run(),
          ),
      },
    });
    const team = await makeTeam(unable);
    await endedIn(unable, team, otter());
    await createIn(unable, team, otter(SILENT, { background: true }));
    await adminJson(unable, 'DELETE', `projects/${team.id}`);
    await unable.stop();
    assert.equal(rowsOf(data, team.id)['responses'], 2);
    const { holt, forgotten } = await startTold(t, { data });
    await within(20_000, forgotten, 'it is forgotten');
    await holt.stop();
    assert.deepEqual(rowsOf(data, team.id), NOTHING);
  });

  test('is not held up by a response that can not be ended', async (t) => {
    const broken: string[] = [];
    const wrapStore = (store: Store): Store =>
      storeAround(store, (verb, run, args) =>
        verb === 'fenceForCancel' && broken.includes(String(args[1]))
          ? Promise.reject(new StoreUnavailable('its log is damaged'))
          : run(),
      );
    const { holt, forgotten } = await startTold(t, { overrides: { wrapStore } });
    const [first, second] = [await makeTeam(holt), await makeTeam(holt)];
    broken.push((await createIn(holt, first, otter(SILENT, { background: true }))).id);
    await createIn(holt, first, otter(SILENT, { background: true }));
    await createIn(holt, second, otter(SILENT, { background: true }));
    await adminJson(holt, 'DELETE', `projects/${first.id}`);
    await adminJson(holt, 'DELETE', `projects/${second.id}`);
    await within(20_000, forgotten, 'the other one is forgotten');
  });

  test('takes away what can not be read, too', async (t) => {
    const data = await temporaryDirectory();
    let broken = false;
    const wrapStore = (store: Store): Store =>
      storeAround(store, (verb, run) =>
        verb === 'read' && broken ? Promise.reject(new StoreDamaged('read: database disk image is malformed')) : run(),
      );
    const { holt, forgotten } = await startTold(t, { data, overrides: { wrapStore } });
    const team = await makeTeam(holt);
    await createIn(holt, team, otter(SILENT, { background: true }));
    broken = true;
    await adminJson(holt, 'DELETE', `projects/${team.id}`);
    await within(20_000, forgotten, 'it is forgotten');
    await holt.stop();
    assert.deepEqual(rowsOf(data, team.id), NOTHING);
  });

  test('is refused for the project default', async () => {
    await using holt = await startHolt({ env: ENV });
    assertError(await admin(holt, 'DELETE', 'projects/default'), 400, { code: 'default_project_kept' });
    assert.equal((await adminJson<Project>(holt, 'GET', 'projects/default')).name, 'Default');
  });
});
