import { costOf, dayOf } from '../domain/limits.ts';
import type { Price, Scope, TokenCounts } from '../domain/limits.ts';
import type { Clock, Log } from '../domain/ports.ts';
import type { UsageStore } from '../domain/usage-store.ts';

/**
 * What was used today, in memory. What this process adds counts at once; what others add, after some seconds, since the
 * store is asked again then, while what is known goes on to count.
 */

/** For how long an answer of the store is new, ms. */
const REFRESH_MS = 5_000;
/** From when on it counts no more, as after a while in which nobody asked, ms. */
const STALE_MS = 30_000;
/** Scopes: some 200 bytes each. */
const MOST = 10_000;

export type Sum = { tokens: number; cost: number };
type Entry = { day: string; sum: Sum; readAt: number; asking: boolean };

type Deps = { store: UsageStore; clock: Clock; log: Log; prices: Readonly<Record<string, Price>> };

export class DailyUsage {
  readonly #deps: Deps;
  readonly #entries = new Map<string, Entry>();
  /** What is asked for the first time, so that a burst asks once. */
  readonly #first = new Map<string, Promise<Sum>>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Rejects as the store does, if it had to be asked. */
  get(scope: Scope): Sum | Promise<Sum> {
    const now = this.#deps.clock.now();
    const day = dayOf(now);
    const name = nameOf(scope);
    const entry = this.#entries.get(name);
    if (entry?.day === day && now - entry.readAt < STALE_MS) {
      if (now - entry.readAt >= REFRESH_MS && !entry.asking) void this.#refresh(scope, entry);
      return entry.sum;
    }
    const first = `${name} ${day}`;
    const asked = this.#first.get(first);
    if (asked !== undefined) return asked;
    const asking = this.#begin(scope, day).finally(() => this.#first.delete(first));
    this.#first.set(first, asking);
    return asking;
  }

  /** Without asking anybody. */
  known(scope: Scope): Sum | undefined {
    const entry = this.#entries.get(nameOf(scope));
    return entry?.day === dayOf(this.#deps.clock.now()) ? entry.sum : undefined;
  }

  /** It is in the store by now, so what is not known yet will be read. */
  add(scope: Scope, modelEntry: string, counts: TokenCounts): void {
    const entry = this.#entries.get(nameOf(scope));
    if (entry?.day !== dayOf(this.#deps.clock.now())) return;
    entry.sum = {
      tokens: entry.sum.tokens + counts.input + counts.output,
      cost: entry.sum.cost + this.#cost(modelEntry, counts),
    };
  }

  async #begin(scope: Scope, day: string): Promise<Sum> {
    const sum = await this.#read(scope, day);
    const name = nameOf(scope);
    this.#entries.delete(name);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= MOST && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(name, { day, sum, readAt: this.#deps.clock.now(), asking: false });
    return sum;
  }

  /** Nobody waits for it. When it fails, what is known counts until the next time. */
  async #refresh(scope: Scope, entry: Entry): Promise<void> {
    entry.asking = true;
    try {
      entry.sum = await this.#read(scope, entry.day);
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'what was used today could not be read');
    } finally {
      entry.readAt = this.#deps.clock.now();
      entry.asking = false;
    }
  }

  async #read(scope: Scope, day: string): Promise<Sum> {
    const rows = await this.#deps.store.readUsage(scope, day);
    return {
      tokens: rows.reduce((sum, { input, output }) => sum + input + output, 0),
      cost: rows.reduce((sum, row) => sum + this.#cost(row.modelEntry, row), 0),
    };
  }

  #cost(modelEntry: string, counts: TokenCounts): number {
    const { prices } = this.#deps;
    return costOf(counts, Object.hasOwn(prices, modelEntry) ? prices[modelEntry] : undefined);
  }
}

function nameOf({ kind, id }: Scope): string {
  return `${kind} ${id}`;
}
