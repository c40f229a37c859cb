import assert from 'node:assert/strict';
import { chmod, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CannotCheck, diagnose } from '../../server/src/doctor.ts';
import { Database } from '../../server/src/stores/sqlite/database.ts';
import { migrate } from '../../server/src/stores/sqlite/schema.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import { copyOf, fillDirectory, hashes, tamper } from './directory.ts';
import type { Filled } from './directory.ts';

/** `holt doctor`: whatever is wrong with a data directory has its line, and nothing is said without a reason. */

let filled: Filled;
before(async () => {
  filled = await fillDirectory();
});
after(() => rm(filled.data, { recursive: true }));

test('a directory that Holt has left is sound, and stays as it is', async () => {
  const before = await hashes(filled.data);
  const { summary, findings } = await diagnose(filled.data);
  assert.deepEqual(findings, []);
  assert.match(
    summary,
    /schema \d+, 5 responses, 1 unfinished, 1 deleted, \d+ chunks, 1 conversations, 2 items in them/,
  );
  assert.match(summary, /1 webhook endpoints, 3 deliveries, 1 projects, 0 API keys$/);
  assert.deepEqual(await hashes(filled.data), before);
});

test('so is one whose server was killed, with its log as it is', async () => {
  const holt = await spawnHolt();
  const body = { model: 'otter', input: 'Hello', background: true };
  await holt.client.responses.create({ ...body, metadata: { 'scripted.interval_ms': '5' } });
  await holt.kill();
  const before = await hashes(holt.data);
  assert.ok('holt.db-wal' in before);
  assert.deepEqual((await diagnose(holt.data)).findings, []);
  assert.deepEqual(await hashes(holt.data), before);
  await rm(holt.data, { recursive: true });
});

test('it is refused while a server has it', async () => {
  const holt = await spawnHolt();
  await assert.rejects(diagnose(holt.data), (error) => error instanceof CannotCheck && /is in use/.test(error.message));
  await holt.stop();
});

/** What is done to it, and the line that says so. */
const ROW = (id: string): string => `response_no = (select no from response where id = '${id}')`;
type Damage = { name: string; sql: (filled: Filled) => string; finding: (filled: Filled) => RegExp };
const DAMAGES: Damage[] = [
  {
    name: 'a log is gone',
    sql: ({ unfinished }) => `delete from chunk where n = 0 and ${ROW(unfinished)}`,
    finding: ({ unfinished }) => new RegExp(`^${unfinished}: its log is gone: restore a backup$`),
  },
  {
    name: 'a place is skipped while it runs',
    sql: ({ unfinished }) =>
      `insert into chunk select response_no, n + 2, first_sequence + count, 0, epoch, 0, x'' from chunk
        where ${ROW(unfinished)} order by n desc limit 1`,
    finding: ({ unfinished }) => new RegExp(`^${unfinished}: its log has no chunk \\d+`),
  },
  {
    name: 'a chunk skips a number',
    sql: ({ unfinished }) =>
      `insert into chunk select response_no, n + 1, first_sequence + count + 1, 0, epoch, 0, x'' from chunk
        where ${ROW(unfinished)} order by n desc limit 1`,
    finding: ({ unfinished }) => new RegExp(`^${unfinished}: its log goes from event \\d+ to event \\d+`),
  },
  {
    name: 'an epoch falls',
    sql: ({ unfinished }) =>
      `insert into chunk select response_no, n + 1, first_sequence + count, 0, epoch - 1, 0, x'' from chunk
        where ${ROW(unfinished)} order by n desc limit 1`,
    finding: ({ unfinished }) => new RegExp(`^${unfinished}: the epoch falls at chunk`),
  },
  {
    name: 'something follows the closed chunk',
    sql: ({ completed }) =>
      `insert into chunk select response_no, n + 1, first_sequence + count, 0, epoch, 0, x'' from chunk
        where ${ROW(completed)} order by n desc limit 1`,
    finding: ({ completed }) => new RegExp(`^${completed}: chunk \\d+ follows the closed one`),
  },
  {
    name: 'the last chunk is open',
    sql: ({ completed }) => `update chunk set closed = 0 where ${ROW(completed)}`,
    finding: ({ completed }) => new RegExp(`^${completed}: it has ended, and its log is open`),
  },
  {
    name: 'the log of an unfinished one is closed',
    sql: ({ unfinished }) =>
      `update chunk set closed = 1 where ${ROW(unfinished)} and n = (select max(n) from chunk where ${ROW(unfinished)})`,
    finding: ({ unfinished }) => new RegExp(`^${unfinished}: it has not ended, and its log is closed`),
  },
  {
    name: 'a body is no records',
    sql: ({ completed }) => `update chunk set body = x'3f00' where ${ROW(completed)}`,
    finding: ({ completed }) => new RegExp(`^${completed}: chunk \\d+ can't be decoded`),
  },
  {
    name: 'a body holds fewer events',
    sql: ({ unfinished }) => `update chunk set count = count + 1 where n = 0 and ${ROW(unfinished)}`,
    finding: ({ unfinished }) => new RegExp(`^${unfinished}: `),
  },
  {
    name: 'a byte of a snapshot is another',
    sql: ({ completed }) =>
      `update response set snapshot = cast(replace(cast(snapshot as text), '"text":"', '"text":"!') as blob)
        where id = '${completed}'`,
    finding: ({ completed }) =>
      new RegExp(`^${completed}: its snapshot is not what its log says: delete it, or restore a backup$`),
  },
  {
    name: 'a snapshot is no JSON',
    sql: ({ foreground }) => `update response set snapshot = x'7b' where id = '${foreground}'`,
    finding: ({ foreground }) => new RegExp(`^${foreground}: it has ended, and its snapshot can't be read`),
  },
  {
    name: 'a status is another',
    sql: ({ completed }) => `update response set status = 'incomplete' where id = '${completed}'`,
    finding: ({ completed }) => new RegExp(`^${completed}: its status is incomplete, its log says completed`),
  },
  {
    name: 'a status is none',
    sql: ({ foreground }) => `update response set status = 'done' where id = '${foreground}'`,
    finding: ({ foreground }) => new RegExp(`^${foreground}: its status is none`),
  },
  {
    name: 'an unfinished row has an end',
    sql: ({ unfinished }) => `update response set done_at = 1 where id = '${unfinished}'`,
    finding: ({ unfinished }) => new RegExp(`^${unfinished}: it has not ended, and its row`),
  },
  {
    name: 'the epoch of a row is behind',
    sql: ({ unfinished }) => `update response set epoch = epoch + 1 where id = '${unfinished}'`,
    finding: ({ unfinished }) => new RegExp(`^${unfinished}: the epoch of its row`),
  },
  {
    name: 'a request is no JSON',
    sql: ({ completed }) => `update response set request = x'00' where id = '${completed}'`,
    finding: ({ completed }) => new RegExp(`^${completed}: its request can't be read`),
  },
  {
    name: 'a tombstone has kept its content',
    sql: ({ deleted }) => `update response set request = x'7b7d' where id = '${deleted}'`,
    finding: ({ deleted }) => new RegExp(`^${deleted}: it was deleted, and its content is still there`),
  },
  {
    name: 'an item is not in the index',
    sql: ({ completed }) => `delete from response_item where output = 1 and ${ROW(completed)}`,
    finding: ({ completed }) => new RegExp(`^${completed}: 1 of its items can't be found`),
  },
  {
    name: 'the index has an id too many',
    sql: ({ completed }) =>
      `insert into response_item (id, response_no, output) select 'msg_x', no, 1 from response where id = '${completed}'`,
    finding: ({ completed }) => new RegExp(`^${completed}: 1 ids lead to it`),
  },
  {
    name: 'an item of a conversation is no JSON',
    sql: () => "update conversation_item set item = x'7b' where no = 1",
    finding: ({ conversation }) => new RegExp(`^${conversation}: an item of it can't be read`),
  },
  {
    name: 'chunks have lost their response',
    sql: ({ completed }) => `delete from response where id = '${completed}'`,
    finding: () => /: \d+ chunks belong to no response/,
  },
  {
    name: 'deliveries have lost their endpoint',
    sql: () => 'delete from webhook_endpoint',
    finding: () => /: 3 deliveries belong to no webhook endpoint/,
  },
  {
    name: 'limits are no object',
    sql: () => "update project set limits = '7'",
    finding: () => /default: its limits can't be read/,
  },
  {
    name: 'a key has lost its project',
    sql: () =>
      `insert into api_key (id, project_id, name, hash, mask, created_at)
        values ('key_1', 'proj_nothing', '', x'00', '', 0)`,
    finding: () => /: 1 API keys belong to no project that is there/,
  },
  {
    name: 'an entry of the audit log is no object',
    sql: () => "insert into audit (at, action, target, detail) values (0, 'a', 'b', 'c')",
    finding: () => /audit_1: the entry of the audit log can't be read/,
  },
  {
    name: 'an index is gone',
    sql: () => 'drop index chunk_place',
    finding: () => /it has no index chunk_place any more: restore a backup$/,
  },
  {
    name: 'a table is not ours',
    sql: () => 'create table guest (a)',
    finding: () => /its table guest is not of Holt/,
  },
];

describe('what is wrong is named', () => {
  for (const { name, sql, finding } of DAMAGES) {
    test(name, async () => {
      const data = await copyOf(filled.data);
      tamper(data, sql(filled));
      const { findings } = await diagnose(data);
      assert.ok(
        findings.some((line) => finding(filled).test(line)),
        `${String(finding(filled))}\n${findings.join('\n')}`,
      );
      // The words of the story and of the request are content.
      assert.doesNotMatch(findings.join('\n'), /otter|novel|space/i);
      await rm(data, { recursive: true });
    });
  }
});

test('flipped bytes in every page but the first are found', async () => {
  const page = 4_096;
  const whole = await readFile(join(filled.data, 'holt.db'));
  // Pages on the free list hold nothing: what is in them is not looked at.
  const data = await copyOf(filled.data);
  tamper(data, 'vacuum');
  const pages = (await readFile(join(data, 'holt.db'))).length / page;
  assert.ok(pages >= 20 && pages < whole.length / page, `${pages} pages`);
  for (let at = 1; at < pages; at += 1) {
    const bytes = await readFile(join(data, 'holt.db'));
    const flipped = Buffer.from(bytes).fill(0xff, at * page, at * page + 64);
    const copy = await copyOf(data);
    await writeFile(join(copy, 'holt.db'), flipped);
    const { findings } = await diagnose(copy);
    assert.ok(findings.length > 0, `page ${at + 1}`);
    await rm(copy, { recursive: true });
  }
  await rm(data, { recursive: true });
});

test('a file that is cut short, empty, missing or something else is named', async () => {
  const spoil: [RegExp, (file: string) => Promise<void>][] = [
    [/holt\.db: database disk image is malformed: restore a backup$/, (file) => truncate(file, 8_192)],
    [/holt\.db is empty beside /, (file) => truncate(file, 0)],
    [/holt\.db is missing beside /, (file) => rm(file)],
    [/holt\.db: file is not a database/, (file) => writeFile(file, 'Dear diary, '.repeat(1_000))],
  ];
  for (const [expected, change] of spoil) {
    const data = await copyOf(filled.data);
    await change(join(data, 'holt.db'));
    const before = await hashes(data);
    const { findings } = await diagnose(data);
    assert.match(findings.join('\n'), expected);
    assert.deepEqual(await hashes(data), before);
    await rm(data, { recursive: true });
  }
});

test('a secret that is damaged is a finding, one that others can read a warning', async () => {
  for (const name of ['secret', 'admin.key']) {
    const data = await copyOf(filled.data);
    await chmod(data, 0o700);
    assert.deepEqual((await diagnose(data)).warnings, []);
    await chmod(join(data, name), 0o644);
    const readable = await diagnose(data);
    assert.deepEqual(readable.findings, []);
    assert.match(readable.warnings.join('\n'), new RegExp(`can read .*/${name}: chmod 600 it`));
    await writeFile(join(data, name), 'abc');
    assert.match((await diagnose(data)).findings.join('\n'), new RegExp(`/${name} is damaged`));
    await chmod(data, 0o755);
    assert.match((await diagnose(data)).warnings.join('\n'), /others on this machine can look into .*: chmod 700 it/);
    await rm(data, { recursive: true });
  }
});

test('an older schema is checked as far as it goes, a newer one not at all', async () => {
  for (const version of [1, 2, 3]) {
    const data = await temporaryDirectory();
    const old = new Database(join(data, 'holt.db'));
    migrate(old, version);
    old.close();
    const { summary, findings } = await diagnose(data);
    assert.deepEqual(findings, []);
    assert.match(summary, new RegExp(`schema ${version}, which a start brings to \\d+, 0 responses`));
    tamper(data, 'pragma user_version = 1000');
    await assert.rejects(
      diagnose(data),
      (error) => error instanceof CannotCheck && /has schema 1000, this version of Holt knows/.test(error.message),
    );
    await rm(data, { recursive: true });
  }
});

test('where no server was ever started there is nothing to check', async () => {
  const data = await temporaryDirectory();
  await assert.rejects(diagnose(data), CannotCheck);
  await assert.rejects(diagnose(join(data, 'nowhere')), CannotCheck);
  await rm(data, { recursive: true });
});
