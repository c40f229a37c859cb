import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Holt as it is served, in a process of its own, over a store on a real disk: beside the results, not in /tmp. */

const ROOT = fileURLToPath(new URL('../', import.meta.url));
export const RESULTS = join(ROOT, 'bench/results');

export type HoltProcess = {
  pid: number;
  /** Without `/v1`. */
  url: string;
  /** Gracefully, as a profile needs it. */
  stop(): Promise<void>;
  kill(): Promise<void>;
};

export async function startHolt(options: {
  upstream: string;
  /** `worker.concurrency`, when the default is too small. */
  concurrency?: number;
  adminKey?: string;
  /** Node's. */
  flags?: string[];
}): Promise<HoltProcess> {
  await mkdir(RESULTS, { recursive: true });
  const data = await mkdtemp(join(RESULTS, 'data-'));
  const config = join(data, 'holt.yaml');
  await writeFile(config, options.concurrency === undefined ? '{}' : `worker: {concurrency: ${options.concurrency}}\n`);
  const child = spawn(
    process.execPath,
    [
      ...(options.flags ?? []),
      join(ROOT, 'server/src/cli/index.ts'),
      'serve',
      '--port=0',
      `--data=${data}`,
      `--config=${config}`,
      '--log-level=warn',
      `--upstream=${options.upstream}`,
    ],
    {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'],
        ...(options.adminKey !== undefined && { HOLT_ADMIN_KEY: options.adminKey }),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const exited = once(child, 'exit');
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /at (http:\/\/\S+)\/v1$/.exec(line)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', (code) => reject(new Error(`holt exited with ${code}`)));
  });
  const leave = (): void => {
    child.kill('SIGKILL');
    rmSync(data, { recursive: true, force: true });
  };
  process.once('exit', leave);
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await exited;
    process.off('exit', leave);
    await rm(data, { recursive: true, force: true });
  };
  return {
    pid: child.pid ?? 0,
    url,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}
