import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ConfigError, loadConfig } from '../../server/src/config.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { assertError, call, jsonRequest } from './wire.ts';
import type { Answer } from './wire.ts';

/** `/admin/v1`: for whoever has the admin key, and for nobody else. */

const API_KEY = 'sk-the-key-of-the-house';
const ADMIN_KEY = 'the-key-of-the-cellar';

function bearer(key: string): Record<string, string> {
  return { authorization: `Bearer ${key}` };
}

function backup(holt: TestHolt, key: string, body: unknown): Promise<Answer> {
  return call('POST', `${holt.url}/admin/v1/backup`, jsonRequest(body, bearer(key)));
}

describe('the key', () => {
  let locked: TestHolt;
  let open: TestHolt;
  let ownKey: string;
  before(async () => {
    locked = await startHolt({ env: { HOLT_API_KEY: API_KEY, HOLT_ADMIN_KEY: ADMIN_KEY } });
    open = await startHolt();
    ownKey = await readFile(join(open.data, 'admin.key'), 'utf8');
  });
  after(() => Promise.all([locked.stop(), open.stop()]));

  test('is the one of the environment, or one of the directory that nobody else may read', async () => {
    assert.match(ownKey, /^[0-9a-f]{64}$/);
    assert.equal((await stat(join(open.data, 'admin.key'))).mode & 0o777, 0o600);
    assert.equal((await stat(open.data)).mode & 0o777, 0o700);
    assert.ok(!(await readdir(locked.data)).includes('admin.key'));
    // It is taken: what is wrong now is the path.
    assertError(await backup(locked, ADMIN_KEY, { to: 'there' }), 400, { param: 'to' });
    assertError(await backup(open, ownKey, { to: 'there' }), 400, { param: 'to' });
  });

  test('is asked for on every spelling and method, also where the API has no key', async () => {
    for (const holt of [locked, open]) {
      for (const path of ['/admin/v1/backup', '/%61dmin/v1/backup', '/admin/v1/nothing', '/admin/']) {
        for (const method of ['GET', 'POST', 'OPTIONS', 'DELETE']) {
          if (method === 'GET' && path.startsWith('/%61')) continue; // no route, so no path of ours
          if (method === 'DELETE' && path.startsWith('/%61')) continue;
          const none = await call(method, `${holt.url}${path}`);
          assertError(none, 401, { code: null, message: /admin key/ });
        }
      }
      const target = join(await temporaryDirectory(), 'b');
      for (const key of [API_KEY, 'x', `${ownKey}0`, ownKey.toUpperCase()]) {
        const wrong = await backup(holt, key, { to: target });
        assertError(wrong, 401, { code: 'invalid_admin_key' });
        assert.ok(!wrong.text.includes(key) || key === 'x');
      }
      await assert.rejects(stat(target));
    }
  });

  test('opens nothing of the API', async () => {
    assertError(await call('GET', `${locked.url}/v1/models`, { headers: bearer(ADMIN_KEY) }), 401, {
      code: 'invalid_api_key',
    });
  });

  test('that can be guessed is refused, and a damaged one stops the start', async () => {
    assert.throws(() => loadConfig([], { HOLT_ADMIN_KEY: 'short' }), ConfigError);
    const data = await temporaryDirectory();
    await (await startHolt({ data })).stop();
    const first = await readFile(join(data, 'admin.key'), 'utf8');
    await (await startHolt({ data })).stop();
    assert.equal(await readFile(join(data, 'admin.key'), 'utf8'), first, 'it stays');
    for (const damaged of ['', first.slice(1)]) {
      await writeFile(join(data, 'admin.key'), damaged);
      await assert.rejects(startHolt({ data }), /admin\.key is damaged: put it back from a backup, or remove it/);
    }
  });
});

describe('a backup', () => {
  let holt: TestHolt;
  let place: string;
  before(async () => {
    holt = await startHolt({ env: { HOLT_ADMIN_KEY: ADMIN_KEY } });
    place = await temporaryDirectory();
  });
  after(() => holt.stop());

  test('goes where it is told, with what a server needs and nobody else may read', async () => {
    const to = join(place, 'good');
    const answer = await backup(holt, ADMIN_KEY, { to });
    assert.equal(answer.status, 200, answer.text);
    const { size, mode } = await stat(join(to, 'holt.db'));
    assert.deepEqual(JSON.parse(answer.text), { object: 'backup', to, bytes: size });
    assert.equal(mode & 0o777, 0o600);
    assert.equal((await stat(to)).mode & 0o777, 0o700);
    assert.deepEqual((await readdir(to)).toSorted(), ['holt.db', 'secret']);
    assert.equal(await readFile(join(to, 'secret'), 'utf8'), await readFile(join(holt.data, 'secret'), 'utf8'));
  });

  test('goes into an empty directory, too, and through a link', async () => {
    await mkdir(join(place, 'empty'));
    await symlink(place, join(place, 'link'));
    const answer = await backup(holt, ADMIN_KEY, { to: join(place, 'link', 'empty') });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual((await readdir(join(place, 'empty'))).toSorted(), ['holt.db', 'secret']);
  });

  test('goes nowhere else', async () => {
    const full = join(place, 'full');
    await mkdir(full);
    await writeFile(join(full, 'mine'), '');
    await symlink(holt.data, join(place, 'inside'));
    const refused: [unknown, RegExp][] = [
      ['backup', /absolute path/],
      ['./backup', /absolute path/],
      [full, /is there already, and not empty/],
      [join(full, 'mine'), /is there already, and is no directory/],
      [join(holt.data, 'b'), /outside the data directory/],
      [holt.data, /outside the data directory/],
      [join(place, 'inside', 'b'), /outside the data directory/],
      [join(place, 'nowhere', 'b'), /in a directory that is there/],
    ];
    for (const [to, message] of refused) {
      assertError(await backup(holt, ADMIN_KEY, { to }), 400, { param: 'to', message });
    }
    assertError(await backup(holt, ADMIN_KEY, {}), 400, { param: 'to' });
    assertError(await backup(holt, ADMIN_KEY, { to: '' }), 400, { param: 'to' });
    assertError(await backup(holt, ADMIN_KEY, { to: 7 }), 400, { param: 'to' });
    assertError(await backup(holt, ADMIN_KEY, { to: place, from: 'x' }), 400, { param: 'from' });
    assert.deepEqual(await readdir(full), ['mine']);
    assert.ok(!(await readdir(holt.data)).includes('b'));
  });

  test('is one at a time', async () => {
    const answers = await Promise.all(
      ['one', 'two', 'three'].map((name) => backup(holt, ADMIN_KEY, { to: join(place, name) })),
    );
    const made = answers.filter(({ status }) => status === 200);
    assert.ok(made.length >= 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      assertError(answer, 409, { code: 'backup_running' });
      assert.equal(answer.headers.get('x-should-retry'), 'true');
    }
  });

  test('leaves nothing when it can not be made', async () => {
    // Somebody else's directory under the name that it has until it is whole.
    await mkdir(join(place, '.taken.holt-partial', 'theirs'), { recursive: true });
    assertError(await backup(holt, ADMIN_KEY, { to: join(place, 'taken') }), 500, { code: 'backup_failed' });
    await assert.rejects(stat(join(place, 'taken')));
    assert.deepEqual(await readdir(join(place, '.taken.holt-partial')), ['theirs']);
  });
});
