import { StoreUnavailable } from '../domain/ports.ts';
import type { Clock } from '../domain/ports.ts';

/**
 * What the store said a moment ago, so that it is not asked each time. What is not there is remembered, too. While the
 * store can't answer, what it said last counts on.
 */

type Entry<V> = { value: V; until: number };

type Settings<V> = {
  /** Asks the store; undefined for what is not there. */
  load: (name: string) => Promise<V | undefined>;
  clock: Clock;
  /** How long an answer counts, ms. */
  forMs: number;
  /** Of what is there, and again of what is not: names that clients make up push out none that are real. */
  max: number;
};

export class Recent<V> {
  readonly #settings: Settings<V>;
  readonly #there = new Map<string, Entry<V>>();
  readonly #absent = new Map<string, Entry<undefined>>();
  /** What is being asked, so that many at once ask once. */
  #asked = new Map<string, Promise<V | undefined>>();

  constructor(settings: Settings<V>) {
    this.#settings = settings;
  }

  /** At once if it is known, else as soon as the store has said it. Rejects as the store does, if it never said it. */
  get(name: string): V | undefined | Promise<V | undefined> {
    const known = this.#there.get(name) ?? this.#absent.get(name);
    if (known !== undefined && known.until > this.#settings.clock.now()) return known.value;
    const asked = this.#asked.get(name);
    if (asked !== undefined) return asked;
    const asking = this.#ask(name, this.#asked);
    this.#asked.set(name, asking);
    return asking;
  }

  /** Everything is asked anew, also what is being asked: the answer may be older than the change. */
  clear(): void {
    this.#there.clear();
    this.#absent.clear();
    this.#asked = new Map();
  }

  async #ask(name: string, asked: Map<string, Promise<V | undefined>>): Promise<V | undefined> {
    const { load, clock, forMs } = this.#settings;
    try {
      const value = await load(name);
      if (asked === this.#asked) {
        const until = clock.now() + forMs;
        this.#there.delete(name);
        this.#absent.delete(name);
        if (value === undefined) this.#keep(this.#absent, name, { value, until });
        else this.#keep(this.#there, name, { value, until });
      }
      return value;
    } catch (error) {
      const last = this.#there.get(name) ?? this.#absent.get(name);
      if (!(error instanceof StoreUnavailable) || asked !== this.#asked || last === undefined) throw error;
      last.until = clock.now() + forMs;
      return last.value;
    } finally {
      asked.delete(name);
    }
  }

  #keep<T>(entries: Map<string, T>, name: string, entry: T): void {
    const [oldest] = entries.keys();
    if (entries.size >= this.#settings.max && oldest !== undefined) entries.delete(oldest);
    entries.set(name, entry);
  }
}
