import { StoreClosed, StoreUnavailable } from '../domain/ports.ts';
import type { Append, Clock, Hints, Log, Store } from '../domain/ports.ts';
import type { Metrics } from '../domain/metrics.ts';
import type { ResponseEvent } from '../protocol/events.ts';
import { FEW, UNWATCHED_LINGER_MS, lingerMs } from './linger.ts';
import type { StoredLog } from './stored-log.ts';

/**
 * Group commit for the whole process (design.md §6.4): one append group is under way; when it returns, everything
 * that is due goes into the next. Structural events and the first deltas are due at once, later deltas linger.
 * Nothing is announced before its commit is acknowledged. A group whose fate is unknown is sent again unchanged.
 */

/** The first deltas of a response are what its reader waits for. */
const FIRST_DELTAS = 3;
/** Beyond this the upstream's socket is paused, characters (design.md §6.4). */
const LOG_LIMIT = 1 << 20;
const PROCESS_LIMIT = 64 << 20;
/** A disk that is full for a second is full for a while: no need to ask more often. */
const RETRY_MS = [50, 200, 1_000];

/** Into how many ticks the wait of a lingering log is divided. */
const TICKS = 5;

/** Logs that wait for company, and when each is due (ms). */
type Lingering = Map<StoredLog, number>;

type Deps = { store: Store; hints: Hints; clock: Clock; log: Log; metrics: Metrics; live: () => number };

export class Appender {
  readonly #deps: Deps;
  readonly #now = new Set<StoredLog>();
  readonly #watched: Lingering = new Map();
  readonly #unwatched: Lingering = new Map();
  /** Those of the two whose timer runs. */
  readonly #ticking = new Set<Lingering>();
  #scheduled = false;
  #underWay = false;
  #givenUp = false;
  #unacknowledged = 0;
  #onIdle: (() => void)[] = [];

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  write(log: StoredLog, events: readonly ResponseEvent[]): void {
    if (log.dropped || events.length === 0) return;
    const before = log.unacknowledged;
    const first = log.deltas < FIRST_DELTAS;
    log.push(events);
    this.#unacknowledged += log.unacknowledged - before;
    // What fills the log is due, too: its upstream would be paused for nothing but company.
    if (first || this.isFull(log) || events.some((event) => !('delta' in event))) this.#dueNow(log);
    else this.#linger(log);
  }

  /** Whether the upstream of this response has to wait for the store. */
  isFull(log: StoredLog): boolean {
    return log.unacknowledged > LOG_LIMIT || (this.#unacknowledged > PROCESS_LIMIT && log.unacknowledged > 0);
  }

  /** The row of the log is durable, or somebody reads it now: what waits is due. */
  hurry(log: StoredLog): void {
    if (log.pending.length > 0) this.#dueNow(log);
  }

  drop(log: StoredLog): void {
    this.#forget(log);
    this.#unacknowledged -= log.unacknowledged;
    log.unacknowledged = 0;
    log.drop();
  }

  /** Resolves when nothing waits and nothing is under way. */
  idle(): Promise<void> {
    for (const log of [...this.#watched.keys(), ...this.#unwatched.keys()]) this.#dueNow(log);
    if (!this.#underWay && this.#now.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
    });
  }

  /** What the store refuses from now on is not tried again: nobody has seen it, and the next owner finds the rest. */
  giveUp(): void {
    this.#givenUp = true;
  }

  #dueNow(log: StoredLog): void {
    this.#forget(log);
    this.#now.add(log);
    this.#schedule();
  }

  /** A log lingers from the first event that waits, so that the next ones of its stream join it. */
  #linger(log: StoredLog): void {
    if (this.#now.has(log) || this.#watched.has(log)) return;
    if (!this.#deps.hints.watched(log.id)) {
      if (!this.#unwatched.has(log)) this.#wait(this.#unwatched, log, UNWATCHED_LINGER_MS);
      return;
    }
    const ms = lingerMs(this.#deps.live());
    if (ms === 0) {
      this.#dueNow(log);
      return;
    }
    this.#unwatched.delete(log);
    this.#wait(this.#watched, log, ms);
  }

  #wait(lingering: Lingering, log: StoredLog, ms: number): void {
    lingering.set(log, this.#deps.clock.now() + ms);
    if (!this.#ticking.has(lingering)) this.#tick(lingering, ms / TICKS);
  }

  /** What becomes due between two ticks shares a commit. */
  #tick(lingering: Lingering, ms: number): void {
    this.#ticking.add(lingering);
    const timer = this.#deps.clock.timer(ms, () => {
      const now = this.#deps.clock.now();
      for (const [log, dueAt] of lingering) {
        if (dueAt > now) continue;
        lingering.delete(log);
        this.#now.add(log);
      }
      this.#schedule();
      if (lingering.size > 0) timer.refresh();
      else this.#ticking.delete(lingering);
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay || this.#now.size === 0) return;
    this.#scheduled = true;
    const flush = (): void => {
      this.#scheduled = false;
      void this.#flush();
    };
    // With company: after the sockets of this turn were read, so that they share a commit.
    if (this.#deps.live() <= FEW) queueMicrotask(flush);
    else setImmediate(flush);
  }

  /** Never rejects: what the store refuses is tried again until it answers. */
  async #flush(): Promise<void> {
    const group: { log: StoredLog; append: Append }[] = [];
    for (const log of this.#now) {
      if (log.no === undefined) continue; // its creation hurries it
      this.#now.delete(log);
      if (!log.dropped && log.pending.length > 0) group.push({ log, append: log.seal(log.no) });
    }
    if (group.length > 0) {
      group.sort((a, b) => a.append.no - b.append.no);
      const appends = group.map(({ append }) => append);
      const since = this.#deps.metrics.now();
      this.#underWay = true;
      const accepted = await this.#append(appends);
      this.#underWay = false;
      if (accepted.includes(true)) this.#count(appends, since);
      for (const [index, { log }] of group.entries()) this.#settle(log, accepted[index] === true);
      this.#schedule();
    }
    if (!this.#underWay && this.#now.size === 0) {
      for (const resolve of this.#onIdle.splice(0)) resolve();
    }
  }

  async #append(appends: readonly Append[]): Promise<boolean[]> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#deps.store.append(appends);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        if (error instanceof StoreClosed || this.#givenUp) return appends.map(() => false);
        this.#deps.log.error({ err: error, attempt }, 'the store refuses to append; trying again');
        const ms = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 0;
        await new Promise<void>((resolve) => {
          this.#deps.clock.timer(ms, resolve);
        });
      }
    }
  }

  #count(appends: readonly Append[], since: number): void {
    const { metrics } = this.#deps;
    let [events, bytes] = [0, 0];
    for (const { chunk } of appends) {
      events += chunk.count;
      bytes += chunk.body.byteLength;
    }
    metrics.appendsCommitted({ seconds: metrics.now() - since, events, bytes });
  }

  #settle(log: StoredLog, accepted: boolean): void {
    if (!accepted) {
      const wanted = !log.dropped;
      this.drop(log);
      if (wanted) log.events.fenced();
      return;
    }
    const before = log.unacknowledged;
    const events = log.acknowledge();
    if (!log.dropped) this.#unacknowledged -= before - log.unacknowledged;
    const firstSequence = events[0]?.sequence_number;
    if (firstSequence !== undefined) this.#deps.hints.announce(log.id, { events, firstSequence });
    this.#countFirst(log);
    if (log.committed.ended) log.events.ended();
  }

  #countFirst(log: StoredLog): void {
    if (log.firstOutputAt === undefined || log.committed.response.output.length === 0) return;
    const { metrics } = this.#deps;
    metrics.firstOutputShown('background', metrics.now() - log.firstOutputAt);
    log.firstOutputAt = undefined;
  }

  #forget(log: StoredLog): void {
    this.#now.delete(log);
    this.#watched.delete(log);
    this.#unwatched.delete(log);
  }
}
