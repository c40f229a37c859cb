import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runHolt } from '../support/cli.ts';
import { TextFinder } from '../support/find-text.ts';
import { spawnHolt } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import { call, post, responseIn } from './wire.ts';

/** Where the keys of providers and clients are not: in anything that Holt writes or says. */

const KEYS = {
  provider: 'sk-provider-Quetzalcoatl-Umbrella-Fjord',
  client: 'sk-client-Rutabaga-Zeppelin-Harpsichord',
  admin: 'admin-Wisteria-Kumquat-Battlement-99',
  seal: 'seal-Gossamer-Narwhal-Trebuchet-4711',
};
const finder = new TextFinder(KEYS);

test('keys are in no log, error, metric, document or file of the data directory, however an upstream quotes them', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'holt-secrets-'));
  t.after(() => rm(directory, { recursive: true }));
  await using upstream = await startUpstream();
  const quoting = {
    error: { message: `Nobody here knows ${KEYS.provider}`, type: 'invalid_request_error', code: 'odd' },
  };
  await upstream.script('refuses', { reply: { status: 400, body: quoting } });
  await upstream.script('breaks', { steps: [{ delta: { content: 'so far' } }, { chunk: quoting }, { end: true }] });
  await upstream.script('answers', { steps: [{ delta: { content: 'hello' } }, { finish: 'stop' }, { done: true }] });
  const keyFile = join(directory, 'provider.key');
  const settings = join(directory, 'holt.yaml');
  await writeFile(keyFile, `${KEYS.provider}\n`, { mode: 0o600 });
  const provider = { kind: 'chat', base_url: upstream.url, api_key_file: keyFile };
  await writeFile(settings, JSON.stringify({ providers: { house: provider } }), { mode: 0o600 }); // JSON is YAML
  const holt = await spawnHolt({
    data: join(directory, 'data'),
    flags: ['--config', settings, '--log-level', 'debug'],
    env: { HOLT_API_KEY: KEYS.client, HOLT_ADMIN_KEY: KEYS.admin, HOLT_SECRET: KEYS.seal },
  });
  t.after(() => holt.kill());
  const authorization = { authorization: `Bearer ${KEYS.client}` };
  const said: string[] = [];
  const ask = async (method: string, path: string, headers: Record<string, string> = authorization): Promise<void> => {
    said.push((await call(method, `${holt.url}${path}`, { headers })).text);
  };
  for (const model of ['refuses', 'breaks', 'answers']) {
    for (const background of [true, false]) {
      const made = await post(holt, { model, input: 'hi', background }, authorization);
      said.push(made.text);
      if (background) await ask('GET', `/v1/responses/${responseIn(made).id}?wait=20`);
    }
  }
  const [request] = await upstream.requests('answers');
  assert.equal(request?.headers['authorization'], `Bearer ${KEYS.provider}`, 'the upstream is asked with it');
  assert.ok(said.some((text) => text.includes('Nobody here knows ***')));
  for (const path of ['/metrics', '/openapi.json', '/v1/models', '/v1/responses/resp_none']) await ask('GET', path);
  await ask('GET', '/v1/models', { authorization: `Bearer ${KEYS.provider}` });
  await ask('POST', '/admin/v1/backup', { authorization: `Bearer ${KEYS.admin}x` });
  await holt.stop();

  for (const text of [...said, holt.output(), holt.errors()]) {
    assert.deepEqual(finder.inBytes(Buffer.from(text), text.slice(0, 200)), []);
  }
  assert.match(holt.errors(), /"msg":"request"/);
  assert.deepEqual(finder.inDirectory(holt.data), []);
});

test('holt doctor warns of files that hold keys and that others can read', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'holt-secrets-'));
  t.after(() => rm(directory, { recursive: true }));
  const holt = await spawnHolt({ data: join(directory, 'data') });
  await holt.stop();
  const [inFile, ofProvider, written] = ['api.key', 'provider.key', 'holt.yaml'].map((name) => join(directory, name));
  assert.ok(inFile !== undefined && ofProvider !== undefined && written !== undefined);
  const url = 'http://127.0.0.1:1/v1';
  const providers = {
    a: { kind: 'chat', base_url: url, api_key_file: ofProvider },
    b: { kind: 'chat', base_url: url, api_key: KEYS.provider },
  };
  for (const [file, text] of [
    [inFile, KEYS.client],
    [ofProvider, KEYS.provider],
    [written, JSON.stringify({ providers })],
  ] as const) {
    await writeFile(file, text, { mode: 0o600 });
  }
  const doctor = (): ReturnType<typeof runHolt> =>
    runHolt(['doctor', '--data', holt.data, '--config', written], { HOLT_API_KEY_FILE: inFile });
  assert.doesNotMatch((await doctor()).stdout, /warning/);
  for (const file of [inFile, ofProvider, written]) await chmod(file, 0o644);
  const { code, stdout, stderr } = await doctor();
  assert.equal(code, 0, `a warning is no finding: ${stderr}`);
  for (const file of [inFile, ofProvider, written]) {
    assert.ok(stdout.includes(`warning: others on this machine can read ${file}: chmod 600 it`), stdout);
  }
  // With the key in the environment there is nothing in the file to be read.
  providers.b.api_key = '${HOLT_TEST_KEY}';
  await writeFile(written, JSON.stringify({ providers }));
  assert.ok(!(await doctor()).stdout.includes(written));
});
