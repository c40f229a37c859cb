import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { loadConfig } from '../server/src/config.ts';
import { ROOT, spawnHolt, temporaryDirectory } from './support/holt.ts';
import { startJudgingProxy } from './support/judging-proxy.ts';
import { findPython, runPython } from './support/python.ts';
import { skipUnavailable } from './support/unavailable.ts';

/** Every claim of the README is one that can be refuted: its programs run, its table is the configuration. */

const README = await readFile(join(ROOT, 'README.md'), 'utf8');

function blocks(language: string): string[] {
  return [...README.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    ([, text]) => text ?? '',
  );
}

const run = promisify(execFile);

test('the two commands stand at the top', () => {
  const [first = ''] = blocks('sh');
  assert.match(first, /^npm install && npm start\b.*\nnpm install && npm test\b/);
  assert.ok(README.indexOf(first) < 1_500);
});

test('the Node program resumes its stream', async () => {
  const [program = ''] = blocks('ts');
  await using holt = await spawnHolt();
  await using proxy = await startJudgingProxy(holt.url);
  const { stdout } = await run(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], OPENAI_BASE_URL: `${proxy.url}/v1`, OPENAI_API_KEY: 'anything' },
  });
  assert.deepEqual(proxy.complaints, []);
  assert.equal(stdout.split(' ').length, 400 - 36, 'the tokens of the events after 41');
});

test('the Node program that creates once does', async () => {
  const [, program = ''] = blocks('ts');
  await using holt = await spawnHolt();
  await using proxy = await startJudgingProxy(holt.url);
  const { stdout } = await run(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], OPENAI_BASE_URL: `${proxy.url}/v1`, OPENAI_API_KEY: 'anything' },
  });
  assert.deepEqual(proxy.complaints, []);
  assert.equal(stdout, 'true\n');
});

test('the Python programs run', async (t) => {
  const python = await findPython();
  if ('missing' in python) {
    skipUnavailable(t, python.missing);
    return;
  }
  await using holt = await spawnHolt();
  await using proxy = await startJudgingProxy(holt.url);
  const environment = { OPENAI_BASE_URL: `${proxy.url}/v1`, OPENAI_API_KEY: 'anything' };
  const outputs = await Promise.all(
    blocks('python').map((source) => runPython(python.interpreter, { source }, environment)),
  );
  assert.deepEqual(
    outputs.map(({ code, stderr }) => ({ code, stderr })),
    [
      { code: 0, stderr: '' },
      { code: 0, stderr: '' },
      { code: 0, stderr: '' },
      { code: 0, stderr: '' },
    ],
  );
  assert.deepEqual(proxy.complaints, []);
  assert.match(outputs[0]?.stdout ?? '', /^completed .*otter/i);
  assert.equal(outputs[1]?.stdout.split(' ').length, 400 - 36);
  assert.equal(outputs[2]?.stdout, 'True\n');
});

test('the curl commands stream and resume', async () => {
  const [, resume = ''] = /(curl -N [\s\S]*?}')\n[\s\S]*?(curl -N "[^\n]*)/.exec(README)?.slice(1) ?? [];
  const [create = ''] = /curl -N [\s\S]*?}'/.exec(README) ?? [];
  await using holt = await spawnHolt();
  await using proxy = await startJudgingProxy(holt.url);
  const local = (command: string): string => command.replaceAll('http://127.0.0.1:8484', proxy.url);
  const whole = (await run('bash', ['-c', local(create)])).stdout;
  const id = /"id":"(resp_[0-9a-f]+)"/.exec(whole)?.[1] ?? '';
  const rest = (await run('bash', ['-c', local(resume)], { env: { PATH: process.env['PATH'], RESPONSE_ID: id } }))
    .stdout;
  assert.ok(whole.endsWith(rest) && rest.startsWith('event: response.output_text.delta\n'));
  assert.match(rest, /^data: .*"sequence_number":42,/m);
  assert.deepEqual(proxy.complaints, []);
});

test('the example of a configuration is one', async () => {
  const [text = ''] = blocks('yaml');
  const directory = await temporaryDirectory();
  const file = join(directory, 'holt.yaml');
  await writeFile(file, text);
  const config = loadConfig(['--config', file], { OPENROUTER_API_KEY: 'k' });
  assert.deepEqual(config.models['small'], { provider: 'gpu', model: 'qwen/qwen3-8b' });
  assert.deepEqual(config.models['*'], { provider: 'gpu' });
  await rm(directory, { recursive: true });
});

test('the table of settings has the names and the defaults that are served', async () => {
  const rows = [...README.matchAll(/^\|(.*)\|(.*)\|(.*)\|(.*)\|.*\|$/gm)]
    .map((row) => row.slice(1, 5).map((cell) => cell.replaceAll('`', '').trim()))
    .filter(([flag, , key]) => /^--[a-z]/.test(flag ?? '') || /^[a-z]+\.[a-z_]+$/.test(key ?? ''));
  assert.ok(rows.length >= 16, `${rows.length} rows`);
  const defaults = loadConfig([], {});
  const directory = await temporaryDirectory();
  for (const [flag = '', environment = '', key = '', value = ''] of rows) {
    if (flag !== '') assert.equal(environment, `HOLT_${flag.slice(2).replace('-', '_').toUpperCase()}`);
    if (key === '') continue;
    const [section = '', name = ''] = key.split('.');
    const file = join(directory, `${key}.yaml`);
    await writeFile(file, `${section}: { ${name}: ${value} }`);
    assert.deepEqual(loadConfig(['--config', file], {}), defaults, `the default of ${key}`);
  }
  await rm(directory, { recursive: true });
});
