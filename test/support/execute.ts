import { spawn } from 'node:child_process';
import type { SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

export type Ran = { code: number | null; stdout: string; stderr: string };

/** Runs a program to its end; `missing` says why it can't be started. */
export async function execute(
  command: string,
  args: readonly string[],
  options: Pick<SpawnOptions, 'cwd' | 'env' | 'signal'>,
): Promise<Ran | { missing: string }> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const failed = once(child, 'error').then(([error]) => ({ missing: String(error) }));
  const ended = Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]).then(
    ([[code], stdout, stderr]): Ran => ({ code: code as number | null, stdout, stderr }),
  );
  return Promise.race([failed, ended]);
}
