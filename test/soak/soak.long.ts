import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { linesOf } from './print-report.ts';
import { soak } from './run-soak.ts';

/** The short form of `npm run soak`, and a server on which it has to fail. */

const SEED = 20_260_101;
const CLIENTS = 12;

test('80 seconds of mixed load leave memory, handles and disk as they were', { timeout: 240_000 }, async (t) => {
  const report = await soak({ ms: 80_000, seed: SEED, clients: CLIENTS, signal: t.signal });
  for (const line of linesOf(report)) t.diagnostic(line);
  assert.deepEqual(report.failures, []);
});

test('a leak of each kind is told', { timeout: 240_000 }, async (t) => {
  const program = join(import.meta.dirname, 'programs/leaky.ts');
  const leaky = { program, env: { HOLT_LEAKS: 'memory,handles,disk,rows' } };
  const report = await soak({ ms: 80_000, seed: SEED, clients: CLIENTS, signal: t.signal, leaky });
  for (const line of linesOf(report)) t.diagnostic(line);
  for (const told of [
    /^live heap: not flat$/,
    /^open files: not flat$/,
    /^data directory: not flat$/,
    /^left in the database: \d+ responses past their time$/,
  ]) {
    assert.ok(
      report.failures.some((failure) => told.test(failure)),
      `${String(told)}: ${report.failures.join('\n')}`,
    );
  }
});
