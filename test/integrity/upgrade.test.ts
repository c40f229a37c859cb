import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { diagnose } from '../../server/src/doctor.ts';
import { Database } from '../../server/src/stores/sqlite/database.ts';
import { SCHEMA_VERSION, migrate } from '../../server/src/stores/sqlite/schema.ts';
import { create, otter, poll } from '../contract/wire.ts';
import { ROOT, spawnHolt, startHolt, temporaryDirectory } from '../support/holt.ts';
import { hashes } from './directory.ts';

/** Older data directories are brought to this version's schema, newer ones are refused, half upgraded ones go on. */

const OLD = ['resp_1', 'resp_2', 'resp_3'];

/** As an older Holt has left it, with foreground responses in it. */
async function oldDirectory(version: number): Promise<string> {
  const data = await temporaryDirectory();
  const old = new Database(join(data, 'holt.db'));
  migrate(old, version);
  for (const [index, id] of OLD.entries()) {
    const item = (name: string): object => ({ id: `msg_${name}${index}`, type: 'message', role: 'user', content: [] });
    old.run(
      `insert into response (id, project_id, status, model, provider, background, stream, request, snapshot, created_at,
         done_at, expires_at, log_state) values (?, 'default', 'completed', 'otter', 'otter', 0, 0, ?, ?, 0, 1, 1e15, 3)`,
      id,
      Buffer.from(JSON.stringify({ body: { input: '' }, upstreamModel: 'otter', inputItems: [item('in')] })),
      Buffer.from(JSON.stringify({ id, object: 'response', status: 'completed', output: [item('out')] })),
    );
    // The fourth schema indexed items itself; from before it they are indexed by the upgrade.
    if (version < 4) continue;
    for (const [side, name] of ['in', 'out'].entries()) {
      old.run('insert into response_item values (?, ?, ?)', `msg_${name}${index}`, index + 1, side);
    }
  }
  old.close();
  return data;
}

async function checkServes(data: string): Promise<void> {
  const holt = await startHolt({ data });
  for (const id of OLD) assert.equal(JSON.parse(await textOf(`${holt.url}/v1/responses/${id}`)).id, id);
  const next = await create(holt, otter({}, { input: [{ type: 'item_reference', id: 'msg_in1' }] }));
  assert.equal((await poll(holt, next.id)).status, 'completed');
  await holt.stop();
  const { summary, findings } = await diagnose(data);
  assert.deepEqual(findings, []);
  assert.match(summary, new RegExp(`schema ${SCHEMA_VERSION}, 4 responses`));
}

async function textOf(url: string): Promise<string> {
  return (await fetch(url)).text();
}

describe('an older directory', () => {
  for (let version = 1; version < SCHEMA_VERSION; version += 1) {
    test(`of schema ${version} is upgraded with what is in it`, async () => {
      const data = await oldDirectory(version);
      assert.match((await diagnose(data)).summary, new RegExp(`schema ${version}, which a start brings to`));
      await checkServes(data);
      await rm(data, { recursive: true });
    });
  }
});

test('a newer directory is refused, and not touched, whether its server was stopped or killed', async () => {
  for (const end of ['stop', 'kill'] as const) {
    const data = await temporaryDirectory();
    const holt = await spawnHolt({ data });
    await create(holt, otter());
    await holt[end]();
    await setVersionAndDie(data, SCHEMA_VERSION + 1, end === 'kill');
    const before = await hashes(data);
    assert.equal('holt.db-wal' in before, end === 'kill');
    const newer = `has schema ${SCHEMA_VERSION + 1}, this version of Holt knows ${SCHEMA_VERSION}: start the version that`;
    await assert.rejects(startHolt({ data }), new RegExp(newer));
    assert.deepEqual(await hashes(data), before);
    await rm(data, { recursive: true });
  }
});

/** @param killed leaves it in the log */
async function setVersionAndDie(data: string, version: number, killed: boolean): Promise<void> {
  const program = `
    import { DatabaseSync } from 'node:sqlite';
    const db = new DatabaseSync(${JSON.stringify(join(data, 'holt.db'))});
    db.exec('pragma locking_mode = exclusive; pragma user_version = ${version}');
    if (${killed}) process.kill(process.pid, 'SIGKILL');
    db.close();`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'inherit' });
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
  assert.equal(signal, killed ? 'SIGKILL' : null);
}

/** Migrates in a process that is killed when step `step` has been made, before or after its commit. */
async function migrateAndDie(data: string, step: number, when: 'before' | 'after'): Promise<void> {
  const program = `
    import { Database } from '${ROOT}server/src/stores/sqlite/database.ts';
    import { migrate } from '${ROOT}server/src/stores/sqlite/schema.ts';
    const db = new Database(${JSON.stringify(join(data, 'holt.db'))});
    const die = () => process.kill(process.pid, 'SIGKILL');
    migrate({
      one: (...args) => db.one(...args),
      execute: (sql) => {
        const last = sql.includes('user_version = ${step};');
        if (last && ${when === 'before'}) { db.execute(sql.replace(/; commit$/, '')); die(); }
        db.execute(sql);
        if (last) die();
      },
    });`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], { stdio: 'inherit' });
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
  assert.equal(signal, 'SIGKILL');
}

describe('an upgrade that was killed goes on where it was', () => {
  for (let step = 2; step <= SCHEMA_VERSION; step += 1) {
    for (const when of ['before', 'after'] as const) {
      test(`${when} the commit of step ${step}`, async () => {
        const data = await oldDirectory(1);
        await migrateAndDie(data, step, when);
        assert.equal(versionIn(data), when === 'before' ? step - 1 : step);
        await checkServes(data);
        await rm(data, { recursive: true });
      });
    }
  }
});

function versionIn(data: string): number {
  const db = new DatabaseSync(join(data, 'holt.db'));
  try {
    return Number(db.prepare('pragma user_version').get()?.['user_version']);
  } finally {
    db.close();
  }
}
