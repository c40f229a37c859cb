import { StoreUnavailable } from '../domain/ports.ts';
import type { Clock, Hints, Log, Runs, Store } from '../domain/ports.ts';

/**
 * What a deleted project had: what runs is cancelled and told to nobody, what has ended goes in batches. It goes on
 * where a process that died has left it, since the store says which projects are leaving.
 */

/** Rows of one transaction: a few ms of the store. */
const BATCH = 100;

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

  async #cancelAndDelete(projectId: string, id: string): Promise<boolean> {
    const { store, hints, clock, worker } = this.#deps;
    hints.announce(id, { leaving: true });
    const fenced = await store.fenceForCancel(projectId, id, worker.workerId, clock.now());
    if (fenced.outcome === 'pending') return false;
    if (fenced.outcome === 'fenced') {
      worker.abort(id);
      await worker.finishCancel(fenced.response, 'delete');
    }
    await store.delete(projectId, id, clock.now());
    hints.announce(id, { gone: true });
    return true;
  }
}
