import { parseArgs } from 'node:util';
import { RETENTION_MODES } from '../../server/src/domain/retention.ts';
import { linesOf } from './print-report.ts';
import { soak } from './run-soak.ts';

/** `npm run soak`: see README.md beside this file. */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string' },
    clients: { type: 'string', default: '12' },
    retention: { type: 'string', default: 'standard' },
  },
});

const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9));
const mode = RETENTION_MODES.find((known) => known === values.retention);
if (mode === undefined) throw new RangeError(`--retention: expected one of ${RETENTION_MODES.join(', ')}`);

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

say(`${values.minutes} minutes of ${mode} with ${values.clients} clients, from seed ${seed}`);
const report = await soak({
  ms: Number(values.minutes) * 60_000,
  seed,
  clients: Number(values.clients),
  mode,
  say,
});
for (const line of linesOf(report)) say(line);
if (report.failures.length > 0) process.exitCode = 1;
