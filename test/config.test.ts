import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { ConfigError, loadConfig } from '../server/src/config.ts';
import type { Config } from '../server/src/config.ts';
import { spawnHolt, startHolt } from './support/holt.ts';

async function withFile<T>(text: string, body: (file: string) => T | Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'holt-config-'));
  const file = join(directory, 'holt.yaml');
  try {
    await writeFile(file, text);
    return await body(file);
  } finally {
    await rm(directory, { recursive: true });
  }
}

function load(text: string, argv: string[] = [], env: Record<string, string> = {}): Promise<Config> {
  return withFile(text, (file) => loadConfig(['--config', file, ...argv], env));
}

test('without anything the demonstration model answers every name on loopback', () => {
  const config = loadConfig([], {});
  assert.equal(config.server.host, '127.0.0.1');
  assert.equal(config.server.port, 8484);
  assert.equal(config.store.data, './data');
  assert.equal(config.worker.concurrency, 256);
  assert.equal(config.worker.drain, 30_000);
  assert.equal(config.queue.max, 10_000);
  assert.equal(config.queue.max_wait, null);
  assert.equal(config.recovery.max_attempts, 3);
  assert.equal(config.recovery.on_crash, 'fail');
  assert.equal(config.retention.response, 30 * 86_400_000);
  assert.equal(config.retention.log, 600_000);
  assert.equal(config.retention.mode, 'standard');
  assert.equal(config.retention.zdr, 600_000);
  assert.equal(config.limits.output_bytes, 8 * 1024 * 1024);
  assert.equal(config.limits.run_time, null);
  assert.equal(config.limits.foreground_wait, 10_000);
  assert.deepEqual(config.models, { '*': { provider: 'otter' }, otter: { provider: 'otter' } });
});

test('pages that may ask are named, or are all', async () => {
  const cors = async (text: string): Promise<unknown> => (await load(`server: { cors: ${text} }`)).server.cors;
  const origins = ['https://app.example', 'http://localhost:5173', 'http://[::1]:3000', 'chrome-extension://abcdef'];
  assert.deepEqual(await cors(JSON.stringify(origins)), origins);
  assert.equal(await cors('"*"'), '*');
  assert.equal(loadConfig([], {}).server.cors, 'none');
});

test('a wait may be nothing, or as long as a timer goes; what is kept may be kept for years', async () => {
  assert.equal((await load('worker: { drain: 24 days }')).worker.drain, 24 * 86_400_000);
  assert.equal((await load('worker: { drain: 0 s }')).worker.drain, 0);
  assert.equal((await load('limits: { foreground_wait: 0 s }')).limits.foreground_wait, 0);
  assert.equal((await load('retention: { response: 3650 days }')).retention.response, 3_650 * 86_400_000);
});

test('a flag beats the environment, which beats the file', async () => {
  const file = 'server: { port: 1 }';
  assert.equal((await load(file)).server.port, 1);
  assert.equal((await load(file, [], { HOLT_PORT: '2' })).server.port, 2);
  assert.equal((await load(file, ['--port', '3'], { HOLT_PORT: '2' })).server.port, 3);
});

test('retention is set for the one project there is', async () => {
  const file = 'retention: { mode: zero_data_retention, zdr: 1 min }';
  const { mode, zdr } = (await load(file)).retention;
  assert.deepEqual([mode, zdr], ['zero_data_retention', 60_000]);
  assert.equal(
    (await load(file, [], { HOLT_RETENTION: 'modified_abuse_monitoring' })).retention.mode,
    'modified_abuse_monitoring',
  );
  assert.equal((await load(file, ['--retention', 'standard'])).retention.mode, 'standard');
  assert.throws(() => loadConfig(['--retention', 'none'], {}), /--retention: expected one of standard, /);
  await assert.rejects(load('retention: { mode: zdr }'), /retention.mode/);
});

test('--upstream answers every name, with the key of the environment', () => {
  const config = loadConfig(['--upstream', 'http://127.0.0.1:11434/v1'], { HOLT_UPSTREAM_API_KEY: 'k' });
  assert.deepEqual(config.models, { '*': { provider: 'upstream' } });
  assert.deepEqual(config.providers['upstream'], {
    kind: 'chat',
    base_url: 'http://127.0.0.1:11434/v1',
    dialect: 'generic',
    think_tags: false,
    api_key: 'k',
  });
});

test('models name a provider, a provider with an upstream model, or both apart', async () => {
  const config = await load(`
providers:
  vllm: { kind: chat, base_url: "http://127.0.0.1:8000/v1" }
  demo: { kind: scripted }
models:
  fast: vllm/qwen/qwen3-8b
  same: vllm
  apart: { provider: vllm, model: big }
  "*": demo
`);
  assert.deepEqual(config.models, {
    fast: { provider: 'vllm', model: 'qwen/qwen3-8b' },
    same: { provider: 'vllm' },
    apart: { provider: 'vllm', model: 'big' },
    '*': { provider: 'demo' },
  });
});

test('with a real provider the demonstration model answers only to its own name', async () => {
  const config = await load(`
providers:
  vllm: { kind: chat, base_url: "http://127.0.0.1:8000/v1" }
  demo: { kind: scripted }
`);
  assert.deepEqual(config.models, { '*': { provider: 'vllm' }, otter: { provider: 'demo' } });
});

test('a model is as lenient as it says itself, else as --compat says', async () => {
  const file = `
providers: { vllm: { kind: chat, base_url: "http://127.0.0.1:8000/v1" } }
models: { firm: { provider: vllm, compat: strict }, soft: { provider: vllm, compat: lenient }, "*": vllm }`;
  const compat = async (argv: string[], env = {}): Promise<unknown[]> => {
    const { models } = await load(file, argv, env);
    return ['firm', 'soft', '*'].map((name) => models[name]?.compat);
  };
  assert.deepEqual(await compat([]), ['strict', 'lenient', undefined]);
  assert.deepEqual(await compat(['--compat', 'lenient']), ['strict', 'lenient', 'lenient']);
  assert.deepEqual(await compat([], { HOLT_COMPAT: 'lenient' }), ['strict', 'lenient', 'lenient']);
  await assert.rejects(load(file, ['--compat', 'loose']), /--compat: expected one of strict, lenient, got loose/);
  await assert.rejects(load(file.replace('lenient', 'loose')), /models\.soft/);
});

test('limits and time-outs that a model or a provider has of its own', async () => {
  const config = await load(`
providers:
  vllm: { kind: chat, base_url: "http://127.0.0.1:8000/v1", timeouts: { first_byte: 2 h, idle: 90 s } }
models:
  small: { provider: vllm, limits: { output_bytes: 64 KiB, run_time: 5 min } }
  large: { provider: vllm, limits: { run_time: none } }
limits: { run_time: 1 h }`);
  assert.deepEqual(config.models['small']?.limits, { outputBytes: 64 * 1024, runTimeMs: 300_000 });
  assert.deepEqual(config.models['large']?.limits, { runTimeMs: null });
  assert.equal(config.limits.run_time, 3_600_000);
  const { vllm } = config.providers;
  assert.ok(vllm?.kind === 'chat');
  assert.deepEqual(vllm.timeouts, { first_byte: 7_200_000, idle: 90_000 });
});

test('a wait in the queue has a bound if there is one, of any length', async () => {
  assert.equal((await load('queue: { max_wait: 90 min }')).queue.max_wait, 5_400_000);
  assert.equal((await load('queue: { max_wait: 60 days }')).queue.max_wait, 60 * 86_400_000);
  assert.equal((await load('queue: { max_wait: none }')).queue.max_wait, null);
  for (const wrong of ['0 s', '-1 s', '90', 'soon']) {
    await assert.rejects(load(`queue: { max_wait: "${wrong}" }`), /queue\.max_wait: /, wrong);
  }
});

test('the environment is interpolated into any text', async () => {
  const config = await load('providers: { a: { kind: chat, base_url: "http://h/v1", api_key: "${KEY}-1" } }', [], {
    KEY: 'secret',
  });
  assert.deepEqual(config.providers['a'], {
    kind: 'chat',
    base_url: 'http://h/v1',
    api_key: 'secret-1',
    dialect: 'generic',
    think_tags: false,
  });
});

test('what all who ask a model may use together, and what it costs', async () => {
  const config = await load(`
providers: { vllm: { kind: chat, base_url: "http://gpu:8000/v1" } }
models:
  small: { provider: vllm, limits: { run_time: 5 min, requests_per_minute: 60, cost_per_day: 2.5 } }
  large: { provider: vllm, price: { input: 0.5, cached_input: 0, output: 2 } }`);
  assert.deepEqual(config.models['small']?.limits, { runTimeMs: 300_000 });
  assert.deepEqual(config.models['small']?.allowance, { requests_per_minute: 60, cost_per_day: 2.5 });
  assert.deepEqual(config.models['large']?.price, { input: 0.5, cached_input: 0, output: 2 });
});

for (const [title, text, pattern] of [
  ['an unknown key', 'server: { prot: 1 }', /holt\.yaml: server\.prot: no such setting/],
  ['a wrong type', 'server: { port: many }', /holt\.yaml: server\.port: .*expected number/],
  ['a port out of range', 'server: { port: 70000 }', /server\.port: .*65535/],
  ['a bad duration', 'worker: { drain: soon }', /worker\.drain: expected a duration such as/],
  ['a duration without its unit', 'worker: { drain: 30 }', /worker\.drain: expected a duration such as/],
  ['a bad size', 'limits: { output_bytes: big }', /limits\.output_bytes: expected a size such as/],
  ['a time that no timer can wait', 'limits: { run_time: 30 days }', /limits\.run_time: .*at most 24 days/],
  ['a drain that no timer can wait', 'worker: { drain: 25 days }', /worker\.drain: .*at most 24 days/],
  ['a wait that no timer can wait', 'limits: { foreground_wait: 25 days }', /foreground_wait: .*at most 24 days/],
  ['headers that may take longer than all', 'server: { headers_timeout: 6 min }', /headers_timeout: expected at most/],
  ['readers cut between two comments', 'server: { stall_timeout: 5 s }', /stall_timeout: expected at least 20 s/],
  ['a model without any time', 'models: { "*": { provider: a, limits: { run_time: 0 s } } }', /run_time/],
  [
    'a model with no requests at all',
    'models: { x: { provider: a, limits: { requests_per_minute: 0 } } }',
    /models\.x\.limits\.requests_per_minute: .*>=1/,
  ],
  [
    'a model with fewer tokens than none',
    'models: { x: { provider: a, limits: { tokens_per_minute: -1 } } }',
    /models\.x\.limits\.tokens_per_minute: .*>=1/,
  ],
  [
    'a model with half a response',
    'models: { x: { provider: a, limits: { background_running: 1.5 } } }',
    /models\.x\.limits\.background_running: .*int/,
  ],
  [
    'a model with a number in quotes',
    'models: { x: { provider: a, limits: { tokens_per_day: "5" } } }',
    /models\.x\.limits\.tokens_per_day: .*expected number/,
  ],
  [
    'a model with a budget of nothing',
    'models: { x: { provider: a, limits: { cost_per_day: 0 } } }',
    /models\.x\.limits\.cost_per_day: .*>0/,
  ],
  [
    'a model with a limit that there is not',
    'models: { x: { provider: a, limits: { requests: 1 } } }',
    /models\.x\.limits\.requests: no such setting/,
  ],
  [
    'a model with half a price',
    'models: { x: { provider: a, price: { input: 1 } } }',
    /models\.x\.price\.output: expected a number/,
  ],
  [
    'a model with a price below nothing',
    'models: { x: { provider: a, price: { input: -1, output: 1 } } }',
    /models\.x\.price\.input: expected at least 0/,
  ],
  [
    'a model with a price in quotes',
    'models: { x: { provider: a, price: { input: "1 EUR", output: 1 } } }',
    /models\.x\.price\.input: expected a number/,
  ],
  [
    'a model with a price of what is not priced',
    'models: { x: { provider: a, price: { input: 1, output: 1, image: 1 } } }',
    /models\.x\.price\.image: no such setting/,
  ],
  ['a provider of no kind', 'providers: { a: { kind: magic } }', /providers\.a\.kind/],
  ['a bad URL', 'providers: { a: { kind: chat, base_url: "ftp://x" } }', /providers\.a\.base_url: expected an http/],
  ['a model of an unknown provider', 'models: { x: nobody/y }', /models\.x: expected one of the providers.*nobody/],
  ['an unset variable', 'store: { data: "${NOWHERE}" }', /store\.data: the environment variable NOWHERE is not set/],
  ['an origin with a path', 'server: { cors: ["https://app.example/"] }', /server\.cors\.0: expected an origin/],
  [
    'an origin that no browser sends',
    'server: { cors: ["https://App.example:443"] }',
    /server\.cors\.0: expected an origin/,
  ],
  ['half an origin', 'server: { cors: ["https://*.example"] }', /server\.cors\.0: expected an origin/],
  ['an origin that is no list', 'server: { cors: "https://app.example" }', /server\.cors: expected none/],
  ['no YAML', 'server: [', /holt\.yaml: /],
  [
    'several providers and no names',
    'providers: { a: { kind: chat, base_url: "http://a" }, b: { kind: chat, base_url: "http://b" } }',
    /models: expected names/,
  ],
] as const) {
  test(`a file with ${title} stops start-up and says where`, async () => {
    await assert.rejects(load(text), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, pattern);
      return true;
    });
  });
}

for (const [argv, pattern] of [
  [['--port', 'x'], /--port: expected/],
  [['--log-level', 'loud'], /--log-level: expected one of/],
  [['--upstream', 'nowhere'], /--upstream: expected an http or https URL/],
  [['--colour'], /Known flags: --host/],
  [['--config', '/nowhere/holt.yaml'], /\/nowhere\/holt\.yaml/],
] as const) {
  test(`the flag ${argv.join(' ')} is refused`, () => {
    assert.throws(() => loadConfig(argv, {}), pattern);
  });
}

test('a host that others can reach needs a key', async () => {
  for (const host of ['0.0.0.0', '::', '192.168.1.5', 'example.test']) {
    for (const env of [{}, { HOLT_API_KEY: '' }] as Record<string, string>[]) {
      await assert.rejects(startHolt({ flags: ['--host', host], env }), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, /without an API key\. Set HOLT_API_KEY, make a key/);
        return true;
      });
    }
  }
  // An address of this machine that is not told apart from any other.
  await using keyed = await startHolt({ flags: ['--host', '127.1'], env: { HOLT_API_KEY: 'k' } });
  assert.equal((await fetch(`${keyed.url}/v1/models`)).status, 401);
  await assert.rejects(spawnHolt({ flags: ['--host', '0.0.0.0'] }), /exited with 2: holt: Holt would listen on/);
});

test('a bad file ends the process with code 2 and one clear line', async () => {
  await withFile('server: { prot: 1 }', async (file) => {
    await assert.rejects(spawnHolt({ flags: ['--config', file] }), (error) => {
      assert.match(
        String(error),
        /exited with 2: holt: .*holt\.yaml: server\.prot: no such setting in this version\n$/,
      );
      return true;
    });
  });
});

test('the greeting says where it serves and that the otter is a demonstration model', async () => {
  await using holt = await spawnHolt();
  assert.match(holt.output(), /Holt serves the OpenAI Responses API at http:\/\/127\.0\.0\.1:\d+\/v1/);
  await holt.stop();
  assert.match(holt.output(), /otter is a demonstration model/);
  assert.match(holt.output(), /there is no API key: every program on this machine may use it/);
});

test('secrets may come in files, and what is wrong with one is said without what it holds', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holt-secrets-'));
  const file = (name: string): string => join(directory, name);
  await writeFile(file('key'), 'sk-from-a-file-0123456789\n');
  await writeFile(file('empty'), '\n');
  const read = loadConfig([], {
    HOLT_API_KEY_FILE: file('key'),
    HOLT_ADMIN_KEY_FILE: file('key'),
    HOLT_SECRET_FILE: file('key'),
  });
  assert.deepEqual(
    [read.apiKey, read.adminKey, read.secrets],
    ['sk-from-a-file-0123456789', 'sk-from-a-file-0123456789', ['sk-from-a-file-0123456789']],
  );
  const flag = loadConfig(['--upstream', 'http://127.0.0.1:1/v1'], { HOLT_UPSTREAM_API_KEY_FILE: file('key') });
  const yaml = (more: string): string => `providers: { x: { kind: chat, base_url: "http://127.0.0.1:1/v1", ${more} } }`;
  const named = await load(yaml(`api_key_file: ${file('key')}`));
  for (const provider of [flag.providers['upstream'], named.providers['x']]) {
    assert.equal(provider?.kind === 'chat' && provider.api_key, 'sk-from-a-file-0123456789');
  }

  const refused = (env: Record<string, string>, why: RegExp): void => {
    assert.throws(
      () => loadConfig([], env),
      (error) => error instanceof ConfigError && why.test(error.message),
    );
  };
  refused({ HOLT_API_KEY_FILE: file('none') }, /^HOLT_API_KEY_FILE: .*none can't be read \(ENOENT\)$/);
  refused({ HOLT_API_KEY_FILE: file('empty') }, /^HOLT_API_KEY_FILE: .*empty is empty$/);
  refused({ HOLT_API_KEY_FILE: file('key'), HOLT_API_KEY: 'x' }, /^HOLT_API_KEY and HOLT_API_KEY_FILE are both set/);
  await assert.rejects(
    load(yaml(`api_key: a, api_key_file: ${file('key')}`)),
    /^ConfigError: providers.x.api_key_file: /,
  );
  await rm(directory, { recursive: true });
});
