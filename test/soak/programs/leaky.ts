import { openSync } from 'node:fs';
import { serve } from '../../../server/src/cli/serve.ts';
import type { Store } from '../../../server/src/domain/ports.ts';

/**
 * A server with a leak of each kind that `HOLT_LEAKS` names: `memory` keeps what the store was given, `handles` opens a file
 * for every tenth response and leaves it open, `disk` sweeps nothing.
 */

const leaks = new Set(process.env['HOLT_LEAKS']?.split(','));
const kept: unknown[] = [];
let creates = 0;

function leaky(store: Store): Store {
  const made = Object.create(store) as Store; // what is not replaced is the store's own
  return Object.assign(made, {
    append: (...args: Parameters<Store['append']>) => {
      if (leaks.has('memory')) kept.push(args);
      return store.append(...args);
    },
    create: (...args: Parameters<Store['create']>) => {
      creates += 1;
      if (leaks.has('memory')) kept.push(args);
      if (leaks.has('handles') && creates % 10 === 0) openSync('/dev/null', 'r');
      return store.create(...args);
    },
    sweep: (...args: Parameters<Store['sweep']>) =>
      leaks.has('disk') ? Promise.resolve({ expired: 0, logs: 0, purged: 0 }) : store.sweep(...args),
    close: () => store.close(),
  });
}

await serve({ wrapStore: leaky });
