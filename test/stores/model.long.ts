import { openSqlite } from './open-sqlite.ts';
import { modelCheck } from './model-check.ts';

/** The long form of what `sqlite.test.ts` checks. `HOLT_SEED=n` begins with another seed, which a failure prints. */

const seed = Number(process.env['HOLT_SEED'] ?? 1);
modelCheck('sqlite', openSqlite, { runs: 1_500, steps: 120, scripts: 'long', seed });
