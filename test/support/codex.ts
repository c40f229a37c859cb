import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execute } from './execute.ts';
import { ROOT } from './holt.ts';

/**
 * OpenAI's command-line client. Its package holds a binary of 400 MB, which is no burden for those who only run Holt:
 * the tests install it, where `npm ci` takes it away with the rest.
 */

const VERSION = '0.169.0';
const DIRECTORY = join(ROOT, `node_modules/.cache/holt-codex-${VERSION}`);
const PROGRAM = join(DIRECTORY, 'node_modules/.bin/codex');
/** A registry that has not delivered by then counts as not reachable. */
const LIMIT_MS = 300_000;

/** The program, installed at the first call; or the reason why there is none. */
export async function findCodex(): Promise<{ program: string } | { missing: string }> {
  if (await works()) return { program: PROGRAM };
  await rm(DIRECTORY, { recursive: true, force: true });
  const args = [
    'install',
    '--no-save',
    '--fetch-retries=1',
    '--fetch-retry-mintimeout=1000',
    '--prefix',
    DIRECTORY,
    `@openai/codex@${VERSION}`,
  ];
  const made = await execute('npm', args, { env: process.env, signal: AbortSignal.timeout(LIMIT_MS) });
  if ('missing' in made) return { missing: `npm could not install codex: ${made.missing}` };
  if (made.code !== 0) {
    const [reason = `exit code ${made.code}`] = made.stderr.split('\n').filter((line) => line.startsWith('npm error'));
    return { missing: `npm could not install codex: ${reason}` };
  }
  return (await works()) ? { program: PROGRAM } : { missing: 'codex does not run on this platform' };
}

async function works(): Promise<boolean> {
  const ran = await execute(PROGRAM, ['--version'], { env: { PATH: process.env['PATH'] } });
  return !('missing' in ran) && ran.code === 0 && ran.stdout.includes(VERSION);
}
