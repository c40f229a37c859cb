import { StoreUnavailable } from '../domain/ports.ts';
import type { Clock, Log, Store, Timer } from '../domain/ports.ts';

/** The housekeeping of a process: forgets what is past its time, compacts what has ended, looks after stray rows. */

/** Compaction makes replay fast and storage small, so it follows an end soon; one slice of a few ms each time. */
const TICK_MS = 1_000;
/** Rows of one sweep: a few ms of the store. */
const SWEEP_LIMIT = 100;
const COMPACT_LIMIT = 20;

type Deps = {
  store: Store;
  clock: Clock;
  log: Log;
  worker: { checkSelf(): Promise<void>; tick(): void };
  /** Begun each time; each waits for nobody and looks after its own failures. */
  chores: readonly (() => void)[];
  /** The lease period: how long a stray row may stay unnoticed, and half as long as a tombstone is kept. ms */
  leaseMs: number;
};

export class Maintenance {
  readonly #deps: Deps;
  readonly #timer: Timer;
  #ticks = 0;
  #underWay: Promise<void> | undefined;
  #stopped = false;
  /** The store takes no new work, and the log says so. */
  #refusing = false;

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#timer = deps.clock.timer(TICK_MS, () => {
      this.#underWay ??= this.#tick().finally(() => {
        this.#underWay = undefined;
        if (!this.#stopped) this.#timer.refresh();
      });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer.cancel();
    await this.#underWay;
  }

  async #tick(): Promise<void> {
    const { store, clock, log, worker, chores, leaseMs } = this.#deps;
    for (const begin of chores) begin();
    try {
      await this.#probe();
      if (store.accepts()) await compactAll(store, () => this.#stopped);
      const now = clock.now();
      await sweepAll({ store, log }, now, now - 2 * leaseMs, () => this.#stopped);
      worker.tick();
      this.#ticks += 1;
      if (this.#ticks % Math.max(1, Math.round(leaseMs / TICK_MS)) === 0) await worker.checkSelf();
    } catch (error) {
      if (error instanceof StoreUnavailable) log.warn({ err: error }, 'housekeeping has to wait for the store');
      else log.error({ err: error }, 'housekeeping failed; the next tick tries again');
    }
  }

  /** A store that takes no new work is asked to, so that it does as soon as it can. */
  async #probe(): Promise<void> {
    const { store, log } = this.#deps;
    const refusing = this.#refusing;
    this.#refusing = !store.accepts();
    if (!this.#refusing) {
      if (refusing) log.warn({}, 'the store takes new work again');
      return;
    }
    try {
      await store.probe();
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (!refusing) log.error({ err: error }, 'the store takes no new work; it is asked again each second');
    }
  }
}

async function compactAll(store: Store, stopped: () => boolean): Promise<void> {
  while (!stopped() && (await store.compact(COMPACT_LIMIT)) > 0);
}

/** What is past its time goes now, however much it is: in small batches, between which others have their turn. */
async function sweepAll(
  { store, log }: Pick<Deps, 'store' | 'log'>,
  now: number,
  purgeBefore: number,
  stopped: () => boolean,
): Promise<void> {
  while (!stopped()) {
    const swept = await store.sweep(now, purgeBefore, SWEEP_LIMIT);
    const most = Math.max(swept.expired, swept.logs, swept.purged, swept.keys);
    if (most > 0) log.debug(swept, 'swept');
    if (most < SWEEP_LIMIT) return;
  }
}
