import assert from 'node:assert/strict';
import { open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { spawnHolt, startHolt, temporaryDirectory } from '../support/holt.ts';
import { poll } from '../contract/wire.ts';
import { copyOf, fillDirectory, hashes, tamper } from './directory.ts';
import type { Filled } from './directory.ts';

/** A database that is damaged or lost stops the start with what to do, and nothing is made in its place. */

let filled: Filled;
/** As a server leaves it that was killed: with a log. */
let killed: string;
before(async () => {
  filled = await fillDirectory();
  killed = await copyOf(filled.data);
  const holt = await spawnHolt({ data: killed });
  await holt.kill();
  assert.ok((await stat(join(killed, 'holt.db-wal'))).size > 0);
});
after(() => Promise.all([filled.data, killed].map((data) => rm(data, { recursive: true }))));

/** Overwrites the first bytes of the database. */
async function zero(data: string, bytes: number): Promise<void> {
  const file = await open(join(data, 'holt.db'), 'r+');
  await file.write(Buffer.alloc(bytes), 0, bytes, 0);
  await file.close();
}

type Loss = { name: string; spoil: (data: string) => Promise<void>; says: RegExp };
const LOSSES: Loss[] = [
  { name: 'empty', spoil: (data) => truncate(join(data, 'holt.db'), 0), says: /holt\.db is empty beside holt\.db-wal/ },
  { name: 'missing', spoil: (data) => rm(join(data, 'holt.db')), says: /holt\.db is missing beside holt\.db-wal/ },
  {
    name: 'missing with its log',
    spoil: async (data) => {
      await rm(join(data, 'holt.db'));
      await rm(join(data, 'holt.db-wal'));
    },
    says: /holt\.db is missing beside secret/,
  },
  {
    name: 'no database',
    spoil: async (data) => {
      await rm(join(data, 'holt.db-wal'));
      await writeFile(join(data, 'holt.db'), 'Dear diary, '.repeat(1_000));
    },
    says: /holt\.db is damaged \(file is not a database\)/,
  },
  {
    name: 'no database, with its log',
    spoil: (data) => writeFile(join(data, 'holt.db'), 'Dear diary, '.repeat(1_000)),
    says: /holt\.db is damaged \((file is not a database|database disk image is malformed)\)/,
  },
  {
    name: 'cut short, with its log',
    spoil: (data) => truncate(join(data, 'holt.db'), 8_192),
    says: /holt\.db is damaged \(database disk image is malformed\)/,
  },
  {
    name: 'without its first bytes, with its log',
    spoil: (data) => zero(data, 64),
    says: /holt\.db is damaged \(file is not a database\)/,
  },
  {
    name: 'without its first page, with its log',
    spoil: (data) => zero(data, 4_096),
    says: /holt\.db is damaged \(file is not a database\)/,
  },
  {
    name: 'cut short',
    spoil: async (data) => {
      await rm(join(data, 'holt.db-wal'));
      await truncate(join(data, 'holt.db'), 8_192);
    },
    says: /holt\.db is damaged \(database disk image is malformed\)/,
  },
  {
    name: 'without its first bytes',
    spoil: async (data) => {
      await rm(join(data, 'holt.db-wal'));
      await zero(data, 64);
    },
    says: /holt\.db is damaged \(file is not a database\)/,
  },
];

for (const { name, spoil, says } of LOSSES) {
  test(`${name}: the start says so, and leaves everything as it is`, async () => {
    const data = await copyOf(killed);
    await spoil(data);
    const before = await hashes(data);
    await assert.rejects(spawnHolt({ data }), (error: Error) => {
      assert.match(error.message, says);
      assert.match(
        error.message,
        /exited with 1: holt: .*Nothing was changed\. See .*`holt doctor`.*restore a backup.*\n$/,
      );
      assert.equal(error.message.trimEnd().split('\n').length, 1);
      return true;
    });
    assert.deepEqual(await hashes(data), before);
    await rm(data, { recursive: true });
  });
}

test('a database of something else, or without tables or an index of ours, is refused', async () => {
  const cases: [string, RegExp][] = [
    ['pragma user_version = 0', /is a database, but none of Holt/],
    ['drop index chunk_place', /has no index chunk_place any more/],
    ['drop table webhook_delivery', /has no table webhook_delivery any more/],
  ];
  for (const [sql, says] of cases) {
    const data = await copyOf(filled.data);
    tamper(data, sql);
    const before = await hashes(data);
    await assert.rejects(startHolt({ data }), says);
    assert.deepEqual(await hashes(data), before);
    await rm(data, { recursive: true });
  }
});

test('a page of a table that can not be read stops the start, or the request that needs it', async () => {
  const page = 4_096;
  const data = await copyOf(filled.data);
  tamper(data, 'vacuum');
  const whole = await readFile(join(data, 'holt.db'));
  let stopped = 0;
  let untouched = 0;
  for (let at = 1; at < whole.length / page; at += 1) {
    const copy = await copyOf(data);
    await writeFile(join(copy, 'holt.db'), Buffer.from(whole).fill(0xff, at * page, at * page + 64));
    const before = await hashes(copy);
    const holt = await startHolt({ data: copy }).catch(async (error: Error) => {
      assert.match(error.message, /malformed.*`holt doctor`/, `page ${at + 1}`);
      const said = error.message.includes('Nothing was changed');
      if (said) assert.deepEqual(await hashes(copy), before, `page ${at + 1}`);
      untouched += Number(said);
      stopped += 1;
    });
    await holt?.stop();
    await rm(copy, { recursive: true });
  }
  assert.ok(stopped >= 8 && untouched >= 5, `${stopped} starts were stopped, ${untouched} of them before any write`);
  await rm(data, { recursive: true });
});

test('a first start that was killed at any moment is begun anew', async () => {
  for (const name of ['holt.db', 'holt.db-journal']) {
    const data = await temporaryDirectory();
    await writeFile(join(data, 'holt.db'), '');
    await writeFile(join(data, name), '');
    await (await startHolt({ data })).stop();
  }
  const data = await temporaryDirectory();
  tamper(data, 'pragma journal_mode = wal');
  await (await startHolt({ data })).stop();
});

test('a start that was killed while it filled the log is no obstacle', async () => {
  const data = await copyOf(filled.data);
  tamper(data, 'create table filling (body blob)');
  await using holt = await startHolt({ data });
  assert.equal((await poll(holt, filled.completed)).status, 'completed');
});
