import { timingSafeEqual } from 'node:crypto';
import type { Clock, Log } from '../domain/ports.ts';
import { DEFAULT_PROJECT } from '../domain/project-store.ts';
import type { FoundKey, ProjectStore, Projects, StoredKey, StoredProject } from '../domain/project-store.ts';
import { Recent } from './recent.ts';

/**
 * Projects and keys as every request needs them: from memory. A change that this process makes counts at once; one that
 * another makes, some seconds later.
 */

/** For how long an answer of the store counts, ms. */
const KNOWN_MS = 5_000;
/** Entries of each kind: some 300 bytes each. */
const MOST = 10_000;
/** How exact the last use of a key is, ms. */
const USE_MS = 60_000;

type Deps = {
  store: Pick<ProjectStore, 'findProject' | 'findKey' | 'hasKeys' | 'touchKeys'>;
  clock: Clock;
  log: Log;
};

export class KnownProjects implements Projects {
  readonly #deps: Deps;
  readonly #projects: Recent<StoredProject>;
  readonly #keys: Recent<FoundKey>;
  readonly #any: Recent<true>;
  /** Last uses to be written. */
  #used = new Map<string, number>();
  /** Last uses of the last minute that were written, or are about to be. */
  readonly #noted = new Map<string, number>();

  constructor(deps: Deps) {
    const { store, clock } = deps;
    const settings = { clock, forMs: KNOWN_MS, max: MOST };
    this.#deps = deps;
    this.#projects = new Recent({ ...settings, load: (id) => store.findProject(id) });
    this.#keys = new Recent({ ...settings, load: (hash) => store.findKey(Buffer.from(hash, 'latin1')) });
    this.#any = new Recent({ ...settings, load: async () => ((await store.hasKeys()) ? true : undefined) });
  }

  /** What a request without a key of a project needs: so that it is known when the store can't be asked. */
  async load(): Promise<void> {
    await this.#any.get('');
    await this.#projects.get(DEFAULT_PROJECT);
  }

  find(id: string): StoredProject | undefined | Promise<StoredProject | undefined> {
    return this.#projects.get(id);
  }

  /** Whether there is any key, so that who has none is refused. */
  hasKeys(): boolean | Promise<boolean> {
    const any = this.#any.get('');
    return any instanceof Promise ? any.then((found) => found === true) : any === true;
  }

  /**
   * The key with this hash, which is used now; undefined when there is none or it has expired.
   * @param hash sha256
   */
  use(hash: Buffer): StoredKey | undefined | Promise<StoredKey | undefined> {
    const found = this.#keys.get(hash.toString('latin1'));
    return found instanceof Promise ? found.then((key) => this.#check(key, hash)) : this.#check(found, hash);
  }

  /** What is known may be wrong from now on. */
  changed(): void {
    for (const known of [this.#projects, this.#keys, this.#any]) known.clear();
  }

  /** Writes down which keys were used. What fails is tried again the next time. */
  async flush(): Promise<void> {
    if (this.#used.size === 0) return;
    const uses = this.#used;
    this.#used = new Map();
    try {
      await this.#deps.store.touchKeys([...uses].map(([id, at]) => ({ id, at })));
      const since = this.#deps.clock.now() - USE_MS;
      for (const [id, at] of this.#noted) if (at <= since) this.#noted.delete(id);
    } catch (error) {
      this.#used = new Map([...uses, ...this.#used]);
      this.#deps.log.warn({ err: error }, 'the last uses of keys could not be written');
    }
  }

  #check(key: FoundKey | undefined, hash: Buffer): StoredKey | undefined {
    if (key === undefined || !timingSafeEqual(key.hash, hash)) return undefined;
    const now = this.#deps.clock.now();
    if (key.expiresAt !== null && key.expiresAt <= now) return undefined;
    if (now - (this.#noted.get(key.id) ?? key.lastUsedAt ?? 0) >= USE_MS) {
      this.#noted.set(key.id, now);
      this.#used.set(key.id, now);
    }
    return key;
  }
}
