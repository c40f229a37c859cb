import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureAuth } from './auth.ts';
import type { Auth } from './auth.ts';
import { measureFlatOut, measurePaced } from './cpu.ts';
import type { Cpu } from './cpu.ts';
import { measureFirstToken } from './first-token.ts';
import type { FirstToken } from './first-token.ts';
import { RESULTS } from './holt.ts';
import { measureMemory } from './memory.ts';
import type { Memory } from './memory.ts';
import { startSetup } from './setup.ts';
import { show } from './spread.ts';

/** `npm run bench`: four figures, each a ratio or a difference of things measured side by side in one run. */

const PARTS = ['first-token', 'paced', 'flat', 'memory', 'auth'] as const;
type Part = (typeof PARTS)[number];
type Results = { firstToken?: FirstToken; paced?: Cpu; flat?: Cpu; memory?: Memory; auth?: Auth };

const FULL = {
  firstToken: { rounds: 5, pairs: 40 },
  paced: { rounds: 5, windowS: 4 },
  flat: { rounds: 5, repeats: 2 },
  memory: { rounds: 5, responses: 2_000 },
  auth: { rounds: 10, polls: 10_000 },
};
/** Shows that everything works; its figures are too coarse to judge by. */
const QUICK = {
  firstToken: { rounds: 2, pairs: 10 },
  paced: { rounds: 1, windowS: 2 },
  flat: { rounds: 1, repeats: 1 },
  memory: { rounds: 1, responses: 500 },
  auth: { rounds: 2, polls: 2_000 },
};

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    /** One part alone. */
    only: { type: 'string' },
    /** Flags of Node for Holt, such as `--cpu-prof --cpu-prof-dir=bench/results/profile`. */
    node: { type: 'string' },
  },
});

async function measure(): Promise<Results> {
  const size = options.quick ? QUICK : FULL;
  const wanted = (part: Part): boolean => {
    if (options.only !== undefined && options.only !== part) return false;
    console.error(`measuring ${part} …`);
    return true;
  };
  const setup = await startSetup({ flags: options.node?.split(' ') ?? [] });
  const results: Results = {};
  try {
    if (wanted('first-token')) results.firstToken = await measureFirstToken(setup, size.firstToken);
    if (wanted('paced')) results.paced = await measurePaced(setup, size.paced);
    if (wanted('flat')) results.flat = await measureFlatOut(setup, size.flat);
    if (wanted('memory')) results.memory = await measureMemory(setup, size.memory);
    if (wanted('auth')) results.auth = await measureAuth(setup, size.auth);
  } finally {
    await setup.stop();
  }
  return results;
}

function lines({ firstToken, paced, flat, memory, auth }: Results): string[] {
  const found: string[] = [];
  if (firstToken !== undefined) {
    const { gapMs, foregroundMs, backgroundMs, syncMs } = firstToken;
    found.push(
      `first token, background after foreground: ${show(gapMs, 2)} ms   goal <= 1`,
      `    foreground ${foregroundMs.p50.toFixed(2)} ms, background ${backgroundMs.p50.toFixed(2)} ms; a bare write and sync on this disk ${show(syncMs, 2)} ms`,
    );
  }
  for (const [name, cpu] of [
    ['100 streams x 50/s', paced],
    ['100 streams flat out', flat],
  ] as const) {
    if (cpu === undefined) continue;
    found.push(
      `CPU per event over a bare relay, ${name}: ${show(cpu.ratio, 2)} x   goal <= 1.6`,
      `    Holt ${show(cpu.holtUs, 1)} us, relay ${show(cpu.relayUs, 1)} us`,
    );
  }
  if (memory !== undefined) {
    found.push(
      `memory per response in flight, of ${memory.responses}: ${show(memory.silentKB, 1)} kB   goal <= 64`,
      `    with a stream attached to each ${show(memory.streamedKB, 1)} kB`,
    );
  }
  if (auth !== undefined) {
    found.push(
      `CPU per poll with a key and limits over one without: ${show(auth.ratio, 2)} x   goal <= 1.1`,
      `    with ${show(auth.keyedUs, 1)} us, without ${show(auth.openUs, 1)} us`,
    );
  }
  return found;
}

if (options.only !== undefined && !PARTS.some((part) => part === options.only)) {
  throw new Error(`--only: expected one of ${PARTS.join(', ')}`);
}
// An interrupted run takes its processes along.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(1));
const begun = new Date();
const [load = 0] = loadavg();
const results = await measure();
const seconds = Math.round((Date.now() - begun.getTime()) / 1_000);
await mkdir(RESULTS, { recursive: true });
const file = join(RESULTS, `${begun.toISOString().replaceAll(':', '-')}.json`);
const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, load };
await writeFile(file, `${JSON.stringify({ begun, seconds, machine, options, ...results }, null, 2)}\n`);
if (load > 0.5)
  console.log(`\nload average ${load.toFixed(1)} at the start: other work is going on, and it shows in the figures`);
console.log(`\nmedian (least..most of the rounds)\n${lines(results).join('\n')}\n\n${seconds} s, ${file}`);
