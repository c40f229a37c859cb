import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import OpenAI from 'openai';
import { loadConfig } from '../../server/src/config.ts';
import type { Config } from '../../server/src/config.ts';
import { start } from '../../server/src/main.ts';
import type { Overrides } from '../../server/src/main.ts';
import { FakeClock } from './clock.ts';
import { judgedFetch } from './official.ts';

/** Holt for a test: inside this process, where tests own its clock, or as a process of its own, to be killed. */

export const ROOT = new URL('../../', import.meta.url).pathname;
const CLI = join(ROOT, 'server/src/cli/index.ts');

export type TestHolt = {
  /** Without `/v1`. */
  url: string;
  client: OpenAI;
  data: string;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

export type InProcess = {
  /** As on the command line, `--upstream`, … */
  flags?: string[];
  env?: Record<string, string>;
  /** Changes what the flags made. */
  configure?: (config: Config) => void;
  overrides?: Overrides;
  /** A directory that outlives this server. */
  data?: string;
};

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** In this process, on a free port, over a data directory of its own. */
export async function startHolt(options: InProcess = {}): Promise<TestHolt> {
  const data = options.data ?? (await temporaryDirectory());
  const config = loadConfig(['--port', '0', '--data', data, ...(options.flags ?? [])], options.env ?? {});
  config.worker.drain = 100;
  options.configure?.(config);
  const holt = await start(config, { log: silent, ...options.overrides });
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    if (stopped === undefined) {
      stopped = holt.stop();
      const { clock } = options.overrides ?? {};
      if (clock instanceof FakeClock) await passUntil(stopped, clock);
    }
    await stopped;
    if (options.data === undefined) await rm(data, { recursive: true, force: true });
  };
  return { url: holt.url, client: clientOf(holt.url, config.apiKey), data, stop, [Symbol.asyncDispose]: stop };
}

/** A stop waits for what runs by the clock, and nobody else moves that any more; for the disk it waits in real time. */
async function passUntil(stopped: Promise<void>, clock: FakeClock): Promise<void> {
  const state = { over: false };
  const end = (): void => {
    state.over = true;
  };
  stopped.then(end, end);
  while (!state.over) {
    await new Promise((resolve) => {
      setTimeout(resolve, 1);
    });
    clock.advance(1);
  }
}

export type HoltProcess = TestHolt & {
  process: ChildProcess;
  /** `kill -9`, then waits for it to be gone. */
  kill(): Promise<void>;
  /** What it said on standard output so far. */
  output(): string;
  /** What it said on standard error so far. */
  errors(): string;
};

export type AsProcess = {
  flags?: string[];
  env?: Record<string, string>;
  data?: string;
  /** Instead of the command line: a program that calls its `serve` with overrides. */
  program?: string;
};

/** A process of its own, on a free port, ended by its own id. Resolves when it serves, rejects when it refuses. */
export async function spawnHolt(options: AsProcess = {}): Promise<HoltProcess> {
  const data = options.data ?? (await temporaryDirectory());
  const flags = ['--port', '0', '--data', data, '--log-level', 'error', ...(options.flags ?? [])];
  const child = spawn(process.execPath, [options.program ?? CLI, 'serve', ...flags], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stderr.on('data', (bytes: Buffer) => (errors += bytes.toString()));
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      output += `${line}\n`;
      const found = /at (http:\/\/\S+)\/v1$/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', (code) => {
      reject(new Error(`holt exited with ${code}: ${errors}`));
    });
  });
  const gone = (): Promise<unknown> =>
    child.exitCode === null && child.signalCode === null ? once(child, 'exit') : Promise.resolve();
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const exited = gone();
    child.kill(signal);
    await exited;
  };
  const stop = async (): Promise<void> => {
    await end('SIGTERM');
    if (options.data === undefined) await rm(data, { recursive: true, force: true });
  };
  return {
    url,
    client: clientOf(url, options.env?.['HOLT_API_KEY']),
    data,
    process: child,
    output: () => output,
    errors: () => errors,
    kill: () => end('SIGKILL'),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** No retries: a test wants to see the first answer. What it reads is held against the official document. */
export function clientOf(url: string, apiKey = 'test'): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, fetch: judgedFetch });
}

const directories: string[] = [];
process.on('exit', () => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** Gone with this process at the latest. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'holt-test-'));
  directories.push(directory);
  return directory;
}
