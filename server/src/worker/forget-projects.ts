import { StoreClosed, StoreUnavailable } from '../domain/ports.ts';
import type { Clock, Hints, Log, Runs, Store } from '../domain/ports.ts';

/**
 * What a deleted project had: what runs is cancelled and told to nobody, what has ended goes in batches. It goes on
 * where a process that died has left it, since the store says which projects are leaving.
 */

/** Rows of one transaction: a few ms of the store. */
const BATCH = 100;

/** What others are ending has this long, ms. */
const END_MS = 15_000;

type Deps = {
  store: Pick<Store, 'listDeletedProjects' | 'forgetProject' | 'fenceForCancel' | 'delete'>;
  hints: Pick<Hints, 'announce'>;
  clock: Clock;
  log: Log;
  worker: Pick<Runs, 'workerId' | 'abort' | 'finishCancel'> & { abortForeground(projectId: string): void };
};

export class ForgetProjects {
  readonly #deps: Deps;
  #underWay: Promise<void> | undefined;
  #stopped = false;
  /** What could not be ended, as when its log is damaged: said once, tried each time. */
  readonly #stuck = new Set<string>();
  /** Since when others were seen to be ending these, ms. */
  readonly #pending = new Map<string, number>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Begins, unless it is at it. Whatever is left is looked at again at the next call. */
  run(): void {
    if (this.#stopped) return;
    this.#underWay ??= this.#forgetAll().finally(() => {
      this.#underWay = undefined;
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#underWay;
  }

  async #forgetAll(): Promise<void> {
    const { store, log } = this.#deps;
    try {
      for (const id of await store.listDeletedProjects(BATCH)) await this.#forget(id);
    } catch (error) {
      if (error instanceof StoreUnavailable) log.warn({ err: error }, 'a deleted project has to wait for the store');
      else log.error({ err: error }, 'a deleted project could not be forgotten; the next tick tries again');
    }
  }

  async #forget(id: string): Promise<void> {
    const { store, clock, log, worker } = this.#deps;
    worker.abortForeground(id);
    while (!this.#stopped) {
      const { unfinished, done } = await store.forgetProject(id, clock.now(), BATCH);
      if (done) {
        log.info({ project: id }, 'a deleted project is forgotten');
        return;
      }
      const ended = await Promise.all(unfinished.map((response) => this.#end(id, response)));
      // Others are ending what is left, or it can't be ended now; it must not keep other projects waiting.
      if (ended.length > 0 && !ended.includes(true)) return;
    }
  }

  /** Whether this made an end of it. */
  async #end(projectId: string, id: string): Promise<boolean> {
    try {
      return await this.#cancelAndDelete(projectId, id);
    } catch (error) {
      if (!this.#stuck.has(id)) {
        this.#deps.log.error({ err: error, response_id: id }, 'a response of a deleted project could not be ended');
      }
      this.#stuck.add(id);
      return false;
    }
  }

  /** Whoever was ending it has had the time to. */
  #isOverdue(id: string): boolean {
    const now = this.#deps.clock.now();
    const since = this.#pending.get(id) ?? now;
    this.#pending.set(id, since);
    return now - since >= END_MS;
  }

  async #cancelAndDelete(projectId: string, id: string): Promise<boolean> {
    const { store, hints, clock, worker } = this.#deps;
    hints.announce(id, { leaving: true });
    const fenced = await store.fenceForCancel(projectId, id, worker.workerId, clock.now());
    if (fenced.outcome === 'pending' && !this.#isOverdue(id)) return false;
    let ended = fenced.outcome !== 'pending';
    if (fenced.outcome === 'fenced') {
      worker.abort(id);
      try {
        await worker.finishCancel(fenced.response, 'delete');
      } catch (error) {
        if (error instanceof StoreClosed) throw error;
        ended = false;
        this.#deps.log.error(
          { err: error, response_id: id },
          'this response could not be ended; it is deleted as it is',
        );
      }
    }
    await store.delete(projectId, id, clock.now(), ended ? undefined : 'forced');
    this.#pending.delete(id);
    hints.announce(id, { gone: true });
    return true;
  }
}
