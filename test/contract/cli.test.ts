import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runHolt } from '../support/cli.ts';
import type { Ran } from '../support/cli.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import { Receiver } from '../support/webhook-receiver.ts';
import { bearer } from './admin-client.ts';
import { SILENT, call, jsonRequest, otter, responseIn } from './wire.ts';

/** `holt projects`, `holt keys`, `holt responses` and `holt webhooks`: what they say, and their exit codes. */

let holt: HoltProcess;
before(async () => {
  const settings = join(await temporaryDirectory(), 'holt.yaml');
  await writeFile(settings, 'webhooks: { allow_http: true, allow_private: true }');
  holt = await spawnHolt({ flags: ['--config', settings] });
});
after(() => holt.stop());

/** Finds the server and its admin key as it would on the machine of the server. */
function run(...words: string[]): Promise<Ran> {
  return runHolt([...words, '--url', holt.url, '--data', holt.data]);
}

async function ok(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...words);
  assert.equal(code, 0, stderr);
  return stdout.trimEnd();
}

async function refused(code: number, message: RegExp, ...words: string[]): Promise<void> {
  const ran = await run(...words);
  assert.deepEqual([ran.code, ran.stdout], [code, ''], ran.stderr);
  assert.match(ran.stderr, /^holt: [^\n]*\n$/);
  assert.match(ran.stderr, message);
}

/** The cells of a table by its head. */
function rowsOf(table: string): Record<string, string>[] {
  const [head = [], ...rows] = table.split('\n').map((line) => line.split(/ {2,}/));
  return rows.map((row) => Object.fromEntries(head.map((name, column) => [name, row[column] ?? ''])));
}

describe('a project and its keys', () => {
  test('are made, used, shown, changed and taken away by words', async () => {
    const made = await run(
      'projects',
      'create',
      '--name',
      'Re\u001b[31msearch',
      '--weight',
      '3',
      '--limit',
      'tokens_per_day=5',
    );
    assert.equal(made.code, 0, made.stderr);
    const project = made.stdout.trimEnd();
    assert.match(project, /^proj_\w+$/);
    assert.match(made.stderr, new RegExp(`holt keys create --project ${project} `));

    const key = await run('keys', 'create', '--project', project, '--name', 'robot', '--expires', '90 days');
    assert.match(key.stdout, /^sk-holt-[\w-]{43}\n$/);
    assert.match(key.stderr, /^This is key_\w+, and it is not shown again\. It counts until 20\d\d-/);
    const headers = bearer(key.stdout.trimEnd());
    assert.equal((await call('GET', `${holt.url}/v1/models`, { headers })).headers.get('openai-project'), project);
    assert.equal((await call('GET', `${holt.url}/v1/models`)).status, 401, 'from now on everybody needs one');

    const [listed] = rowsOf(await ok('keys', 'list', '--project', project));
    assert.deepEqual([listed?.['NAME'], listed?.['LIMITS']], ['robot', '-']);
    assert.match(listed?.['SHOWN AS'] ?? '', /^sk-holt-\S\S….{4}$/);
    assert.ok(!JSON.stringify(listed).includes(key.stdout.trimEnd()));

    const changed = rowsOf(
      await ok('projects', 'update', project, '--retention', 'zero_data_retention', '--max-running', '4'),
    );
    assert.deepEqual(
      changed.map(({ CREATED, ...row }) => ({ ...row, dated: /^20\d\d-\d\d-\d\d \d\d:\d\dZ$/.test(CREATED ?? '') })),
      [
        {
          PROJECT: project,
          NAME: 'Re\\u001b[31msearch',
          RETENTION: 'zero_data_retention',
          WEIGHT: '3',
          'MAX RUNNING': '4',
          LIMITS: 'tokens_per_day=5',
          dated: true,
        },
      ],
    );
    await ok('projects', 'update', project, '--retention', 'inherit', '--max-running', 'none', '--limit', 'none');
    const all = JSON.parse(await ok('projects', 'list', '--json')) as Record<string, unknown>[];
    assert.deepEqual(
      all.map(({ id }) => id),
      [project, 'default'],
    );
    assert.deepEqual([all[0]?.['retention'], all[0]?.['max_running'], all[0]?.['limits']], [null, null, {}]);

    assert.equal(
      await ok('keys', 'revoke', listed?.['KEY'] ?? '', '--project', project),
      `${listed?.['KEY']} is revoked.`,
    );
    assert.equal((await call('GET', `${holt.url}/v1/models`)).status, 200, 'it was the only one');
    assert.match(await ok('projects', 'delete', project), new RegExp(`^${project} is deleted\\.`));
    await refused(1, /Project with id 'proj_\w+' not found/, 'keys', 'list', '--project', project);
  });

  test('1: the server refuses, in its words; 2: it was called wrongly', async () => {
    await Promise.all([
      refused(1, /Invalid 'weight': integer below minimum value/, 'projects', 'create', '--name', 'x', '--weight', '0'),
      refused(1, /'retention'/, 'projects', 'create', '--name', 'x', '--retention', 'forever'),
      refused(1, /can't be deleted/, 'projects', 'delete', 'default'),
      refused(
        1,
        /'expires_at' must be a time in the future/,
        'keys',
        'create',
        '--project',
        'default',
        '--name',
        'x',
        '--expires',
        '2001-01-01',
      ),
      refused(2, /expected one of list, create, revoke, got steal; see holt help keys/, 'keys', 'steal'),
      refused(2, /projects create: --name is missing/, 'projects', 'create'),
      refused(2, /keys create: --project is missing/, 'keys', 'create', '--name', 'x'),
      refused(2, /projects delete: expected PROJECT before the flags, got 0/, 'projects', 'delete'),
      refused(2, /--colour.*known flags: --name, .*--url/, 'projects', 'create', '--colour', 'red'),
      refused(2, /--weight: expected a number, got heavy/, 'projects', 'create', '--name', 'x', '--weight', 'heavy'),
      refused(2, /--limit: expected none, or a limit such as/, 'projects', 'create', '--name', 'x', '--limit', '7'),
      refused(
        2,
        /--expires: expected a time such as/,
        'keys',
        'create',
        '--project',
        'default',
        '--name',
        'x',
        '--expires',
        'soon',
      ),
    ]);
    assert.deepEqual(
      rowsOf(await ok('projects', 'list')).map(({ NAME }) => NAME),
      ['Default'],
      'nothing was made',
    );
    const nobody = await runHolt(['projects', 'list', '--url', 'http://127.0.0.1:1', '--data', holt.data]);
    const wordless = await runHolt(['projects']);
    assert.match(wordless.stderr, /^holt: projects: expected one of list, create, update, delete, got nothing/);
    assert.deepEqual([wordless.code, nobody.code, nobody.stdout], [2, 1, '']);
    assert.match(nobody.stderr, /^holt: no answer from http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
  });
});

describe('the responses of a project', () => {
  test('are listed, shown and cancelled', async () => {
    const create = async (body: object): Promise<string> =>
      responseIn(await call('POST', `${holt.url}/v1/responses`, jsonRequest(body))).id;
    const ended = await create(otter());
    const running = await create(otter(SILENT, { background: true }));
    const rows = rowsOf(await ok('responses', 'list', '--project', 'default'));
    assert.deepEqual(
      rows.map(({ RESPONSE, STATUS, MODEL, BACKGROUND }) => [RESPONSE, STATUS, MODEL, BACKGROUND]),
      [
        [running, 'in_progress', 'otter', 'yes'],
        [ended, 'completed', 'otter', 'no'],
      ],
    );
    const newest = JSON.parse(
      await ok('responses', 'list', '--project', 'default', '--most', '1', '--json'),
    ) as object[];
    assert.equal(newest.length, 1);
    const completed = rowsOf(await ok('responses', 'list', '--project', 'default', '--status', 'completed'));
    assert.deepEqual(
      completed.map(({ RESPONSE }) => RESPONSE),
      [ended],
    );
    const shown = JSON.parse(await ok('responses', 'show', ended, '--project', 'default')) as object;
    assert.deepEqual(shown, responseIn(await call('GET', `${holt.url}/v1/responses/${ended}`)));
    assert.equal(await ok('responses', 'cancel', running, '--project', 'default'), `${running} is cancelled.`);
    await refused(1, /Response with id 'resp_1' not found/, 'responses', 'show', 'resp_1', '--project', 'default');
    await refused(1, /'status'/, 'responses', 'list', '--project', 'default', '--status', 'done');
  });
});

describe('the webhook endpoints of a project', () => {
  test('are made, listed, tested and deleted, and what became of an event is shown and sent again', async () => {
    await using receiver = await Receiver.start();
    const of = ['--project', 'default'];
    const made = await run('webhooks', 'create', ...of, '--name', 'mine', '--to', receiver.url());
    assert.match(made.stdout, /^whsec_\S+\n$/);
    const endpoint = /whe_\w+/.exec(made.stderr)?.[0] ?? assert.fail(made.stderr);
    const [listed] = rowsOf(await ok('webhooks', 'list', ...of));
    assert.deepEqual([listed?.['ENDPOINT'], listed?.['URL'], listed?.['DISABLED']], [endpoint, receiver.url(), '-']);
    const [updated] = rowsOf(
      await ok('webhooks', 'update', endpoint, ...of, '--name', 'ours', '--event', 'response.completed'),
    );
    assert.deepEqual([updated?.['NAME'], updated?.['EVENTS']], ['ours', 'response.completed']);
    const rotated = await run('webhooks', 'rotate', endpoint, ...of);
    assert.match(rotated.stdout, /^whsec_\S+\n$/);
    assert.notEqual(rotated.stdout, made.stdout);
    assert.match(rotated.stderr, /valid for 24 hours more/);
    await refused(2, /--old: expected keep or drop/, 'webhooks', 'rotate', endpoint, ...of, '--old', 'never');
    await refused(1, /whe_1/, 'webhooks', 'rotate', 'whe_1', ...of);
    assert.equal(await ok('webhooks', 'test', endpoint, ...of), 'It answered 204.');
    const signatures = String(receiver.hits[0]?.headers['webhook-signature']).split(' ');
    assert.equal(signatures.length, 2, 'signed with both');
    const body = jsonRequest(otter({}, { background: true }));
    const { id } = responseIn(await call('POST', `${holt.url}/v1/responses`, body));
    await receiver.until((hits) => hits.length === 2, 'the delivery');
    const [delivery] = rowsOf(await ok('webhooks', 'deliveries', endpoint, ...of));
    assert.deepEqual([delivery?.['RESPONSE'], delivery?.['EVENT']], [id, 'response.completed']);
    await ok('webhooks', 'redeliver', endpoint, delivery?.['DELIVERY'] ?? '', ...of);
    await receiver.until((hits) => hits.length === 3, 'the same again');
    assert.equal(await ok('webhooks', 'delete', endpoint, ...of), `${endpoint} is deleted.`);
    assert.deepEqual(rowsOf(await ok('webhooks', 'list', ...of)), []);
  });
});
