import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadConfig } from '../../server/src/config.ts';
import { runHolt } from '../support/cli.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import { copyOf, fillDirectory, tamper } from './directory.ts';
import type { Filled } from './directory.ts';

/** The command line as whoever types it sees it: help, exit codes, and what is wrong in one line. */

/** Nothing on standard output, one line on standard error. */
async function assertRefused(
  words: string[],
  code: number,
  message: RegExp,
  env?: Record<string, string>,
): Promise<void> {
  const ran = await runHolt(words, env);
  assert.equal(ran.code, code, ran.stderr);
  assert.equal(ran.stdout, '');
  assert.match(ran.stderr, /^holt: [^\n]+\n$/);
  assert.match(ran.stderr, message);
}

describe('help', () => {
  test('names every command, and tells of each', async () => {
    for (const words of [['help'], ['--help'], ['-h']]) {
      const { code, stdout, stderr } = await runHolt(words);
      assert.deepEqual([code, stderr], [0, '']);
      const commands = [...stdout.matchAll(/^ {2}holt (\w+)/gm)].map(([, name]) => name);
      assert.deepEqual(commands, ['serve', 'projects', 'keys', 'responses', 'webhooks', 'backup', 'doctor', 'help']);
    }
    for (const name of ['serve', 'projects', 'keys', 'responses', 'webhooks', 'backup', 'doctor']) {
      const [help, flag] = await Promise.all([runHolt(['help', name]), runHolt([name, '--help'])]);
      assert.deepEqual(help, flag);
      assert.equal(help.code, 0);
      assert.match(help.stdout, new RegExp(`^Usage: holt ${name} .*\\n[\\s\\S]*Exit codes: 0 `));
    }
  });

  test('has every flag of a server', async () => {
    const { stdout } = await runHolt(['serve', '--help']);
    const known = (() => {
      try {
        return (loadConfig(['--colour'], {}), '');
      } catch (error) {
        return String(error);
      }
    })();
    const flags = known.slice(known.indexOf('Known flags: ')).match(/--[a-z-]+/g) ?? [];
    assert.ok(flags.length >= 7);
    const told = [...stdout.matchAll(/^ {2}(--[a-z-]+)/gm)].map(([, flag]) => flag ?? '');
    assert.deepEqual(told.toSorted(), flags.toSorted());
  });

  test('without a command is an error', async () => {
    const { code, stdout, stderr } = await runHolt([]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, /^Usage: holt COMMAND/);
    await assertRefused(['frobnicate'], 2, /no such command: frobnicate\. Those there are: holt help/);
    await assertRefused(['help', 'frobnicate'], 2, /no such command: frobnicate/);
  });
});

describe('doctor', () => {
  let filled: Filled;
  before(async () => {
    filled = await fillDirectory();
  });
  after(() => rm(filled.data, { recursive: true }));

  test('0: it is sound', async () => {
    const flag = await runHolt(['doctor', '--data', filled.data]);
    assert.deepEqual([flag.code, flag.stderr], [0, ''], flag.stdout);
    assert.match(flag.stdout, /^\S+: schema \d+, 5 responses, .*\nIt is sound\.\n$/);
    const variable = await runHolt(['doctor'], { HOLT_DATA: filled.data });
    assert.deepEqual(variable, flag);
    const settings = join(await temporaryDirectory(), 'holt.yaml');
    await writeFile(settings, `store: { data: ${filled.data} }`);
    assert.deepEqual(await runHolt(['doctor', '--config', settings]), flag);
  });

  test('1: there are findings, a line each', async () => {
    const data = await copyOf(filled.data);
    tamper(data, "update response set status = 'incomplete' where status = 'completed'");
    const { code, stdout, stderr } = await runHolt(['doctor', '--data', data]);
    assert.deepEqual([code, stderr], [1, '']);
    assert.match(stdout, new RegExp(`^finding: ${filled.completed}: .*: delete it, or restore a backup$`, 'm'));
    const count = stdout.match(/^finding: /gm)?.length;
    assert.ok(count !== undefined && stdout.endsWith(`It has ${count} findings.\n`));
    await rm(data, { recursive: true });
  });

  test('2: it can not be checked', async () => {
    await assertRefused(['doctor', '--data', join(filled.data, 'nowhere')], 2, /nowhere is no directory/);
    await assertRefused(['doctor', '--colour'], 2, /--colour.*known flags: --data, --config/);
    const holt = await spawnHolt();
    await assertRefused(['doctor', '--data', holt.data], 2, /holt\.db is in use: stop its server first/);
    await holt.stop();
  });
});

describe('backup', () => {
  test('0: it is there, 1: it is not, 2: it was called wrongly', async () => {
    const holt = await spawnHolt({ env: { HOLT_ADMIN_KEY: 'the-key-of-the-cellar' } });
    const env = { HOLT_ADMIN_KEY: 'the-key-of-the-cellar' };
    const to = join(await temporaryDirectory(), 'b');
    const port = new URL(holt.url).port;
    await assertRefused(
      ['backup', '--to', to, '--url', holt.url, '--data', holt.data],
      1,
      /no admin key: set HOLT_ADMIN_KEY/,
    );
    const wrong = { HOLT_ADMIN_KEY: 'the-key-of-the-garden' };
    await assertRefused(['backup', '--to', to, '--url', holt.url], 1, /Incorrect admin key provided/, wrong);
    // Where the server is, it finds by the settings that started it.
    const made = await runHolt(['backup', '--to', to], { ...env, HOLT_PORT: port });
    assert.equal(made.code, 0, made.stderr);
    assert.equal((await runHolt(['doctor', '--data', to])).code, 0);
    await assertRefused(['backup', '--to', to, '--url', holt.url], 1, /is there already, and not empty/, env);
    await holt.stop();
    await assertRefused(['backup', '--to', to, '--url', holt.url], 1, /no backup from http:\S+: .*ECONNREFUSED/, env);
    await assertRefused(['backup'], 2, /--to DIR is missing/, env);
    await assertRefused(['backup', '--to', to, '--url', 'ftp://x'], 2, /expected an http or https URL/, env);
    await assertRefused(['backup', '--to', to], 2, /HOLT_ADMIN_KEY: expected at least 16 characters/, {
      HOLT_ADMIN_KEY: 'x',
    });
  });
});
