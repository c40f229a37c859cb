import { systemClock } from '../../server/src/clock.ts';
import { loadProcessConfig } from '../../server/src/config.ts';
import type { Clock, Store } from '../../server/src/domain/ports.ts';
import { start } from '../../server/src/main.ts';
import { Stopper } from './points.ts';

/**
 * `holt serve` for the torture: a server that stops where `HOLT_STOPS` says (points.ts), and whose housekeeping comes
 * ten times as often.
 */

const stopper = new Stopper(process.env['HOLT_STOPS'] ?? '[]');
/** A point while a verb runs: so long after it was sent, ms. */
const DURING_MS = Number(process.env['HOLT_STOP_DURING_MS'] ?? 1);
const HOUSEKEEPING_MS = 1_000;

function wrapStore(store: Store): Store {
  const befores = stopper.points('before');
  const durings = stopper.points('during');
  const afters = stopper.points('after');
  return new Proxy(store, {
    get: (target, key) => {
      const own: unknown = Reflect.get(target, key);
      if (typeof own !== 'function') return own;
      const before = befores.filter(({ verb }) => verb === key);
      const during = durings.filter(({ verb }) => verb === key);
      const after = afters.filter(({ verb }) => verb === key);
      return async (...args: unknown[]): Promise<unknown> => {
        for (const point of before) if (point.when?.(args, undefined) ?? true) stopper.comesBy(point);
        for (const point of during) {
          setTimeout(() => {
            stopper.comesBy(point);
          }, DURING_MS);
        }
        const result: unknown = await own.apply(target, args);
        for (const point of after) if (point.when?.(args, result) ?? true) stopper.comesBy(point);
        return result;
      };
    },
  });
}

function busyClock(): Clock {
  const clock = systemClock();
  return { ...clock, timer: (ms, run) => clock.timer(ms === HOUSEKEEPING_MS ? ms / 10 : ms, run) };
}

const holt = await start(loadProcessConfig(), { wrapStore, clock: busyClock() });
let stopping = false;
process.on('SIGTERM', () => {
  if (stopping) return;
  stopping = true;
  holt.stop().catch((error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exitCode = 1;
  });
});
process.stdout.write(`Holt serves the OpenAI Responses API at ${holt.url}/v1\n`);
