import { appendFileSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { serve } from '../../../server/src/cli/serve.ts';
import { loadProcessConfig } from '../../../server/src/config.ts';
import type { Store } from '../../../server/src/domain/ports.ts';

/**
 * A server with the leaks that `HOLT_LEAKS` names. Of each response `memory` keeps the request and 100 kB, `disk` writes
 * 100 kB into a file, and of every tenth `handles` leaves one open. `rows` sweeps nothing.
 */

const leaks = new Set(process.env['HOLT_LEAKS']?.split(','));
/** Enough to be told of 80 seconds on a machine that has no time. */
const MUCH = 100_000;
const kept: unknown[] = [];
let creates = 0;
const { data } = loadProcessConfig().store;

function leaky(store: Store): Store {
  const made = Object.create(store) as Store; // what is not replaced is the store's own
  return Object.assign(made, {
    create: (...args: Parameters<Store['create']>) => {
      if (leaks.has('memory')) kept.push(args, Buffer.alloc(MUCH));
      if (leaks.has('disk')) appendFileSync(join(data, 'leak'), Buffer.alloc(MUCH));
      creates += 1;
      if (leaks.has('handles') && creates % 10 === 0) openSync('/dev/null', 'r');
      return store.create(...args);
    },
    sweep: (...args: Parameters<Store['sweep']>) =>
      leaks.has('rows') ? Promise.resolve({ expired: 0, logs: 0, purged: 0, keys: 0 }) : store.sweep(...args),
    close: () => store.close(),
  } satisfies Partial<Store>);
}

await serve({ wrapStore: leaky });
