import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type OpenAI from 'openai';
import { Assembler } from '../../server/src/domain/assembler.ts';
import { encodeEvents } from '../../server/src/domain/chunk-codec.ts';
import { Fold } from '../../server/src/domain/fold.ts';
import type { Store } from '../../server/src/domain/ports.ts';
import { Database } from '../../server/src/stores/sqlite/database.ts';
import { countingIds, queuedResponse, stillClock } from '../support/arbitrary.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { KEY, Stage, clientFor, ended, makeProjects, named } from './stage.ts';

/** Whose responses run when more is asked for than can run: real servers under overload. */

function serve(data: string, stage: Stage, concurrency: number): Promise<TestHolt> {
  return startHolt({
    data,
    env: { HOLT_API_KEY: KEY },
    configure: (config) => (config.worker.concurrency = concurrency),
    overrides: { providers: [stage] },
  });
}

/** A row that waits, as a create makes it, without the way through the server. */
async function queue(store: Store, projectId: string, label: string, at: number): Promise<void> {
  const id = `resp_${label.replaceAll(' ', '_')}`;
  const fold = new Fold();
  const assembler = new Assembler(fold, countingIds(), stillClock);
  assembler.begin(queuedResponse({ id }), false);
  const events = assembler.take();
  const chunk = { n: 0, firstSequence: 0, count: events.length, epoch: 0, closed: false };
  const { outcome } = await store.create(
    {
      id,
      projectId,
      model: 'otter',
      provider: 'otter',
      stream: false,
      request: { body: { model: 'otter', metadata: { label } }, upstreamModel: 'otter', inputItems: [] },
      createdAt: at,
      expiresAt: at + 86_400_000,
      previousResponseId: null,
      conversation: null,
      history: [],
      workerId: null,
      chunk: { ...chunk, body: encodeEvents(events, fold.response) },
    },
    20_000,
  );
  assert.equal(outcome, 'created');
}

/** Rows as the last one, from one number to below another: faster than their creates. */
function copyLast(data: string, prefix: string, from: number, to: number): void {
  const db = new Database(join(data, 'holt.db'));
  const last = Number(db.one('select max(no) as no from response')?.['no']);
  db.execute(`
    begin;
    insert into response (id, project_id, status, model, provider, background, stream, request, created_at, expires_at,
        log_state)
      with recursive n(i) as (select ${from} union all select i + 1 from n where i + 1 < ${to})
      select '${prefix}' || i, project_id, status, model, provider, background, stream, request, created_at, expires_at,
          log_state
        from n, response where no = ${last} order by i;
    insert into chunk (response_no, n, first_sequence, count, epoch, closed, body)
      select no, n, first_sequence, count, chunk.epoch, closed, body from response, chunk
       where no > ${last} and response_no = ${last};
    commit`);
  db.close();
}

test('two projects with weights of 3 and 1 get slots in that ratio, at any moment', async () => {
  const data = await temporaryDirectory();
  await makeProjects(data, { three: { weight: 3 }, one: { weight: 1 } });
  const stage = new Stage((label) => label === 'before');
  await using holt = await serve(data, stage, 2);
  const before = await Promise.all([1, 2].map(() => clientFor(holt, 'default').responses.create(named('before'))));
  await stage.until(() => stage.running.length === 2);
  const made: [OpenAI, string][] = [];
  for (const project of ['one', 'three']) {
    const client = clientFor(holt, project);
    const answers = await Promise.all(Array.from({ length: 40 }, () => client.responses.create(named(project))));
    made.push(...answers.map(({ id }): [OpenAI, string] => [client, id]));
  }
  stage.release('before');
  for (const [client, id] of made) assert.equal((await ended(client, id)).status, 'completed');
  const order = stage.started.slice(before.length);
  assert.equal(order.length, 80);
  // As long as both have something to run.
  for (let turns = 1; turns <= 52; turns += 1) {
    const three = order.slice(0, turns).filter((label) => label === 'three').length;
    assert.ok(Math.abs(three - (turns * 3) / 4) <= 1, `${three} of ${turns}: ${order.join(' ')}`);
  }
});

test('ten thousand queued responses of one project delay the first of another by one turn', async () => {
  const data = await temporaryDirectory();
  await makeProjects(data, { greedy: {}, modest: {} }, async (store) => {
    for (let index = 0; index < 3; index += 1) await queue(store, 'greedy', `greedy ${index}`, Date.now());
  });
  copyLast(data, 'resp_greedy_', 3, 10_000);
  const stage = new Stage();
  await using holt = await serve(data, stage, 1);
  await stage.until(() => stage.running.length === 1);
  const greedy = clientFor(holt, 'greedy');
  const { response } = await greedy.responses.retrieve('resp_greedy_9999').withResponse();
  assert.equal(response.headers.get('holt-queue-position'), '9999');
  const modest = clientFor(holt, 'modest');
  const { data: made, response: answer } = await modest.responses.create(named('modest')).withResponse();
  assert.equal(answer.headers.get('holt-queue-position'), '1');
  stage.release('greedy 0');
  await stage.until(() => stage.started.length === 2);
  assert.deepEqual(stage.started, ['greedy 0', 'modest']);
  stage.release('modest');
  assert.equal((await ended(modest, made.id)).status, 'completed');
  await stage.until(() => stage.started.length === 3);
  assert.equal(stage.started[2], 'greedy 1', 'the others of the first project follow in their order');
});

test('turns go on over a restart as if there had been none', async () => {
  const data = await temporaryDirectory();
  await makeProjects(data, { three: { weight: 3 }, one: { weight: 1 } }, async (store) => {
    for (const project of ['one', 'three']) {
      for (let index = 0; index < 12; index += 1) await queue(store, project, `${project} ${index}`, Date.now());
    }
  });
  const order: string[] = [];
  for (let life = 0; life < 2; life += 1) {
    const stage = new Stage();
    await using holt = await serve(data, stage, 1);
    assert.ok(holt.url !== '');
    for (let turn = 1; turn <= 4; turn += 1) {
      await stage.until(() => stage.running.length === 1 && stage.started.length === turn);
      if (turn < 4) stage.release(stage.started[turn - 1]!);
    }
    // The last one runs when the server stops. It has said nothing, so that it is the first of the next life.
    order.push(...(life === 0 ? stage.started.slice(0, 3) : stage.started));
  }
  assert.equal(new Set(order).size, order.length, order.join(', '));
  const three = order.filter((label) => label.startsWith('three')).length;
  assert.ok(Math.abs(three - (order.length * 3) / 4) <= 1, order.join(', '));
});

test('service_tier is an order inside a project, and what the response says of it stays', async () => {
  const data = await temporaryDirectory();
  await makeProjects(data, { other: {} });
  const stage = new Stage((label) => label === 'before');
  await using holt = await serve(data, stage, 1);
  const client = clientFor(holt, 'default');
  await client.responses.create(named('before'));
  await stage.until(() => stage.running.length === 1);
  const ids: string[] = [];
  for (const service_tier of ['flex', 'auto', 'default', 'priority'] as const) {
    const made = await client.responses.create(named(service_tier, { service_tier }));
    assert.equal(made.service_tier, 'auto');
    ids.push(made.id);
  }
  const other = await clientFor(holt, 'other').responses.create(named('other flex', { service_tier: 'flex' }));
  stage.release('before');
  for (const id of ids) assert.equal((await ended(client, id)).service_tier, 'default');
  await ended(clientFor(holt, 'other'), other.id);
  const [, ...order] = stage.started;
  assert.deepEqual(
    order.filter((label) => label !== 'other flex'),
    ['priority', 'auto', 'default', 'flex'],
  );
  assert.ok(order.indexOf('other flex') <= 1, 'a priority counts for nothing against another project');
});
