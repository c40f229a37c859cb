import type { Clock, Store } from '../domain/ports.ts';
import { waitMs } from '../domain/wait.ts';

/**
 * Whether the store takes new work, by a write of its own: a server that nobody has asked for anything does not know
 * that its disk is full. However often it is asked, it writes once a second at most.
 */

const KEEP_MS = 1_000;
/** A disk that does not answer is as good as none; probes don't wait longer by themselves. */
const WAIT_MS = 2_000;

type Deps = { store: Pick<Store, 'probe'>; clock: Clock };

export class Readiness {
  readonly #deps: Deps;
  #latest: { at: number; accepts: boolean } | undefined;
  #underWay: Promise<boolean> | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Never rejects, and answers within two seconds. */
  async check(): Promise<boolean> {
    const { clock } = this.#deps;
    if (this.#latest !== undefined && clock.now() - this.#latest.at < KEEP_MS) return this.#latest.accepts;
    this.#underWay ??= this.#ask().finally(() => {
      this.#underWay = undefined;
    });
    const answered = new AbortController();
    const late = waitMs(clock, WAIT_MS, answered.signal).then(() => false);
    const accepts = await Promise.race([this.#underWay, late]);
    answered.abort();
    return accepts;
  }

  async #ask(): Promise<boolean> {
    const { store, clock } = this.#deps;
    const accepts = await store.probe().then(
      () => true,
      () => false,
    );
    this.#latest = { at: clock.now(), accepts };
    return accepts;
  }
}
