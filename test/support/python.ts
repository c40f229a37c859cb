import { join } from 'node:path';
import { execute } from './execute.ts';
import type { Ran } from './execute.ts';
import { ROOT } from './holt.ts';

/** Programs in Python with the clients of OpenAI and others, in one virtual environment that the tests make themselves. */

const REQUIREMENTS = ['openai==3.22.1', 'openai-agents==0.24.0', 'langchain-openai==1.7.4'];
/** Kept between runs; `npm ci` takes it away with the rest. */
const DIRECTORY = join(ROOT, 'node_modules/.cache/holt-python');
const TESTS = join(ROOT, 'test');
/** An index that has not delivered by then counts as not reachable. */
const LIMIT_SECONDS = 300;
/** What `python-environment.py` exits with when it is this machine that lacks something. */
const CAN_NOT = 3;

export type Python = { interpreter: string } | { missing: string };

/** The interpreter with the packages, made at the first call of any test process; or the reason why there is none. */
export async function findPython(): Promise<Python> {
  const program = join(TESTS, 'support/python-environment.py');
  const made = await execute('python3', [program, DIRECTORY, String(LIMIT_SECONDS), ...REQUIREMENTS], {
    env: process.env,
  });
  if ('missing' in made) return { missing: `python3 can't be started: ${made.missing}` };
  if (made.code === 0) return { interpreter: made.stdout.trim() };
  if (made.code === CAN_NOT) return { missing: made.stderr.trim() };
  throw new Error(`${program} failed:\n${made.stderr}`);
}

/** Runs a file, named from `test/`, or a program given as text. */
export async function runPython(
  interpreter: string,
  program: { file: string } | { source: string },
  environment: Record<string, string>,
): Promise<Ran> {
  const args = 'file' in program ? [join(TESTS, program.file)] : ['-c', program.source];
  // No byte code: the tree stays clean.
  const ran = await execute(interpreter, ['-B', ...args], { env: environment });
  if ('missing' in ran) throw new Error(ran.missing);
  return ran;
}
