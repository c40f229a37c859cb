import { apiError } from '../domain/errors.ts';
import { describeScope, msUntilNextDay } from '../domain/limits.ts';
import type {
  Caller,
  Limiter,
  Limits,
  Price,
  Rate,
  Rates,
  Scope,
  UnfinishedBound,
  Used,
  Work,
} from '../domain/limits.ts';
import type { Clock, Log } from '../domain/ports.ts';
import type { Projects, StoredProject } from '../domain/project-store.ts';
import { TokenBucket } from '../domain/token-bucket.ts';
import type { UsageStore } from '../domain/usage-store.ts';
import { DailyUsage } from './daily-usage.ts';

/**
 * Limits a minute are kept in this process, and are whole again after a restart; those of a day are what the store has
 * counted. Nothing of it is asked when a response is read.
 */

type Deps = {
  store: UsageStore;
  projects: Projects;
  clock: Clock;
  log: Log;
  /** By entry of the configuration. */
  prices: Readonly<Record<string, Price>>;
};

type Limited = Scope & { limits: Limits };
type Meter = { scope: Scope; unit: 'requests' | 'tokens'; limit: number; amount: number; bucket: TokenBucket };
/** What was counted for a response that is not over. */
type Charge = { caller: Caller; meters: Meter[]; budgeted: Limited[]; entry: string };

/** Buckets that are full say nothing, and go when there are more than this. */
const MOST_BUCKETS = 10_000;
/** The official clients wait no less. */
const SHORTEST_RETRY_S = 1;

const NOTHING: readonly UnfinishedBound[] = [];

export class ProcessLimiter implements Limiter {
  readonly #deps: Deps;
  readonly #daily: DailyUsage;
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #charges = new Map<string, Charge>();

  constructor(deps: Deps) {
    this.#deps = deps;
    this.#daily = new DailyUsage(deps);
  }

  admit(work: Work): readonly UnfinishedBound[] | Promise<readonly UnfinishedBound[]> {
    const project = this.#deps.projects.find(work.caller.projectId);
    return project instanceof Promise ? project.then((found) => this.#admit(work, found)) : this.#admit(work, project);
  }

  withdraw(id: string): void {
    const charge = this.#charges.get(id);
    if (charge === undefined) return;
    this.#charges.delete(id);
    const now = this.#deps.clock.now();
    for (const { bucket, amount } of charge.meters) bucket.take(-amount, now);
    this.#tell(charge.caller, charge.meters);
  }

  settle(id: string, used: Used): void {
    const charge = this.#charges.get(id);
    if (charge === undefined) return;
    this.#charges.delete(id);
    if (used === 'uncounted') return;
    const counts = used === 'none' ? { input: 0, cached: 0, output: 0 } : used;
    const now = this.#deps.clock.now();
    for (const { bucket, amount, unit } of charge.meters) {
      if (unit === 'tokens') bucket.take(counts.input + counts.output - amount, now);
    }
    for (const scope of charge.budgeted) this.#daily.add(scope, charge.entry, counts);
  }

  #admit(
    work: Work,
    project: StoredProject | undefined,
  ): readonly UnfinishedBound[] | Promise<readonly UnfinishedBound[]> {
    const scopes = scopesOf(work, project);
    if (scopes.length === 0) return NOTHING;
    const budgeted = work.tokens === undefined ? [] : scopes.filter(hasBudget);
    const unknown = budgeted.map((scope) => this.#daily.get(scope)).filter((sum) => sum instanceof Promise);
    if (unknown.length > 0) return Promise.all(unknown).then(() => this.#count(work, scopes, budgeted));
    return this.#count(work, scopes, budgeted);
  }

  /** In one go, so that what was looked at is still so when it is counted. */
  #count(work: Work, scopes: readonly Limited[], budgeted: Limited[]): readonly UnfinishedBound[] {
    const meters = this.#metersOf(work, scopes);
    try {
      for (const scope of budgeted) this.#checkBudget(scope);
      this.#checkRates(meters);
      const now = this.#deps.clock.now();
      for (const { bucket, amount } of meters) bucket.take(amount, now);
      if (work.tokens !== undefined)
        this.#charges.set(work.id, { caller: work.caller, meters, budgeted, entry: work.model.entry });
    } finally {
      this.#tell(work.caller, meters);
    }
    return scopes.flatMap(({ kind, id, limits }) =>
      limits.background_running === undefined ? [] : [{ scope: { kind, id }, max: limits.background_running }],
    );
  }

  #metersOf({ tokens }: Work, scopes: readonly Limited[]): Meter[] {
    const now = this.#deps.clock.now();
    let estimate: number | undefined;
    return scopes.flatMap((scope) => {
      const meters: Meter[] = [];
      const { requests_per_minute: requests, tokens_per_minute: perMinute } = scope.limits;
      const add = (unit: Meter['unit'], limit: number, amount: number): void => {
        meters.push({ scope, unit, limit, amount, bucket: this.#bucket(scope, unit, limit, now) });
      };
      if (requests !== undefined) add('requests', requests, 1);
      if (perMinute !== undefined) add('tokens', perMinute, (estimate ??= tokens?.() ?? 0));
      return meters;
    });
  }

  #bucket(scope: Scope, unit: Meter['unit'], limit: number, now: number): TokenBucket {
    const name = `${unit} ${scope.kind} ${scope.id}`;
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      if (this.#buckets.size >= MOST_BUCKETS) this.#dropFull(now);
      bucket = new TokenBucket(limit, now);
      this.#buckets.set(name, bucket);
    }
    bucket.setLimit(limit, now);
    return bucket;
  }

  #dropFull(now: number): void {
    for (const [name, bucket] of this.#buckets) if (bucket.resetMs(now) === 0) this.#buckets.delete(name);
  }

  #checkBudget(scope: Limited): void {
    const sum = this.#daily.known(scope);
    if (sum === undefined) return; // midnight was a moment ago
    const { tokens_per_day: tokens, cost_per_day: cost } = scope.limits;
    const spent =
      tokens !== undefined && sum.tokens >= tokens
        ? `${sum.tokens} of ${tokens} tokens`
        : cost !== undefined && sum.cost >= cost
          ? `${readable(sum.cost)} of ${readable(cost)} in money`
          : undefined;
    if (spent === undefined) return;
    const retryAfter = Math.ceil(msUntilNextDay(this.#deps.clock.now()) / 1_000);
    throw apiError('budget_exceeded', { scope: describeScope(scope), spent, retryAfter });
  }

  #checkRates(meters: readonly Meter[]): void {
    const now = this.#deps.clock.now();
    let longest = 0;
    let tightest: Meter | undefined;
    for (const meter of meters) {
      const wait = meter.bucket.waitMs(meter.amount, now);
      if (wait <= longest) continue;
      longest = wait;
      tightest = meter;
    }
    if (tightest === undefined) return;
    const { scope, unit, limit, amount, bucket } = tightest;
    const args = { scope: describeScope(scope), limit, requested: amount };
    if (longest === Infinity) throw apiError('request_over_limit', args);
    const retryAfter = Math.max(SHORTEST_RETRY_S, Math.ceil(longest / 1_000));
    const used = Math.ceil(limit - bucket.level(now));
    const per = unit === 'requests' ? 'requests per min (RPM)' : 'tokens per min (TPM)';
    throw apiError('rate_limited', { ...args, per, used, retryAfter, seconds: retryAfter });
  }

  #tell(caller: Caller, meters: readonly Meter[]): void {
    const rates: Rates = {};
    const now = this.#deps.clock.now();
    for (const { unit, limit, bucket } of meters) {
      const remaining = Math.max(0, Math.floor(bucket.level(now)));
      const rate: Rate = { limit, remaining, resetMs: bucket.resetMs(now) };
      if (rates[unit] === undefined || remaining < rates[unit].remaining) rates[unit] = rate;
    }
    if (meters.length > 0) caller.told(rates);
  }
}

/** Those that have a limit. */
function scopesOf({ caller, model }: Work, project: StoredProject | undefined): Limited[] {
  const scopes: Limited[] = [];
  const add = (kind: Scope['kind'], id: string, limits: Limits | undefined): void => {
    if (limits !== undefined && Object.keys(limits).length > 0) scopes.push({ kind, id, limits });
  };
  add('project', caller.projectId, project?.limits);
  if (caller.key !== undefined) add('key', caller.key.id, caller.key.limits);
  add('model', model.entry, model.allowance);
  return scopes;
}

function hasBudget({ limits }: Limited): boolean {
  return limits.tokens_per_day !== undefined || limits.cost_per_day !== undefined;
}

/** Without the noise of binary fractions. */
function readable(money: number): string {
  return String(Number(money.toPrecision(6)));
}
