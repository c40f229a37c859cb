import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { ROOT } from './holt.ts';

export type Ran = { code: number | null; stdout: string; stderr: string };

/** `holt` with these words, to its end. */
export async function runHolt(words: readonly string[], env: Record<string, string> = {}, cwd = ROOT): Promise<Ran> {
  const child = spawn(process.execPath, [join(ROOT, 'server/src/cli/index.ts'), ...words], {
    cwd,
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ran: Ran = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (bytes: Buffer) => (ran.stdout += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (ran.stderr += bytes.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { ...ran, code };
}
