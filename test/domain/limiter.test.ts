import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ApiError } from '../../server/src/domain/errors.ts';
import type { Limits, Price, Rates, Scope, Work } from '../../server/src/domain/limits.ts';
import type { StoredProject } from '../../server/src/domain/project-store.ts';
import type { ModelUsage } from '../../server/src/domain/usage-store.ts';
import { formatReset } from '../../server/src/http/rate-headers.ts';
import { ProcessLimiter } from '../../server/src/limits/limiter.ts';
import { FakeClock } from '../support/clock.ts';
import { silentLog } from '../support/chat-run.ts';

/** Who may begin what: limits of a project, of a key and of a model together, on a clock of the test's own. */

type Ask = { project?: Limits; key?: Limits; model?: Limits; tokens?: number };

class Bench {
  readonly clock = new FakeClock(Date.UTC(2026, 0, 1, 12));
  /** What the store says was used today, by kind of scope. */
  stored: Partial<Record<Scope['kind'], ModelUsage[]>> = {};
  reads: string[] = [];
  told: Rates | undefined;
  #count = 0;
  readonly limiter: ProcessLimiter;
  #project: Limits = {};

  constructor(prices: Record<string, Price> = {}) {
    this.limiter = new ProcessLimiter({
      store: {
        addUsage: async () => {},
        readUsage: async ({ kind }, day) => {
          this.reads.push(`${kind} ${day}`);
          return this.stored[kind] ?? [];
        },
      },
      projects: { find: () => ({ limits: this.#project }) as unknown as StoredProject }, // all that is looked at
      clock: this.clock,
      log: silentLog,
      prices,
    });
  }

  /** The id of what may begin. */
  async ask({ project = {}, key, model = {}, tokens = 0 }: Ask): Promise<string> {
    this.#project = project;
    this.told = undefined;
    this.#count += 1;
    const work: Work = {
      id: `resp_${this.#count}`,
      caller: {
        projectId: 'proj_1',
        key: key && { id: 'key_1', limits: key },
        told: (rates) => {
          this.told = rates;
        },
      },
      model: { entry: 'otter', allowance: model },
      tokens: () => tokens,
    };
    await this.limiter.admit(work);
    return work.id;
  }

  async refused(ask: Ask): Promise<ApiError> {
    try {
      await this.ask(ask);
    } catch (error) {
      assert.ok(error instanceof ApiError, String(error));
      return error;
    }
    assert.fail('it was let in');
  }
}

test('without a limit nothing is asked, said or remembered', async () => {
  const bench = new Bench();
  for (let n = 0; n < 100; n += 1) await bench.ask({ tokens: 1_000_000 });
  assert.equal(bench.told, undefined);
  assert.deepEqual(bench.reads, []);
});

test('all limits that apply count, and the one that needs the longest wait speaks', async () => {
  const bench = new Bench();
  const limits = {
    project: { requests_per_minute: 60 },
    key: { requests_per_minute: 2 },
    model: { requests_per_minute: 3 },
  };
  await bench.ask(limits);
  await bench.ask(limits);
  const error = await bench.refused(limits);
  assert.match(
    error.message,
    /^Rate limit reached for this API key \('key_1'\) on requests per min \(RPM\): Limit 2, /,
  );
  assert.deepEqual([error.row, error.retryAfter, error.shouldRetry], ['rate_limited', 30, true]);
  assert.deepEqual(bench.told, { requests: { limit: 2, remaining: 0, resetMs: 60_000 } });

  bench.clock.advance(29_999);
  await bench.refused(limits);
  bench.clock.advance(1);
  await bench.ask(limits);
});

test('what is refused by one limit is not counted by another', async () => {
  const bench = new Bench();
  await bench.ask({ key: { requests_per_minute: 1 }, model: { requests_per_minute: 2 } });
  for (let n = 0; n < 5; n += 1) {
    await bench.refused({ key: { requests_per_minute: 1 }, model: { requests_per_minute: 2 } });
  }
  await bench.ask({ model: { requests_per_minute: 2 } });
  await bench.refused({ model: { requests_per_minute: 2 } });
});

test('tokens count as they are estimated, until it is known how many they were', async () => {
  const bench = new Bench();
  const project = { tokens_per_minute: 1_000 };
  const id = await bench.ask({ project, tokens: 900 });
  assert.deepEqual(bench.told?.tokens, { limit: 1_000, remaining: 100, resetMs: 54_000 });
  assert.equal((await bench.refused({ project, tokens: 200 })).retryAfter, 6);
  bench.limiter.settle(id, { input: 100, cached: 50, output: 100 });
  await bench.ask({ project, tokens: 800 });
  assert.equal(bench.told?.tokens?.remaining, 0);

  bench.clock.advance(60_000);
  const greedy = await bench.ask({ project, tokens: 10 });
  bench.limiter.settle(greedy, { input: 10, cached: 0, output: 1_990 });
  bench.limiter.settle(greedy, { input: 10, cached: 0, output: 1_990 });
  assert.equal((await bench.refused({ project, tokens: 1 })).retryAfter, 61, 'a debt of 1,000 and the one');
});

test('what never came to be, or used nothing, is given back; what nobody counted is not', async () => {
  const bench = new Bench();
  const project = { tokens_per_minute: 100, requests_per_minute: 3 };
  const refused = await bench.ask({ project, tokens: 100 });
  assert.deepEqual([bench.told?.tokens?.remaining, bench.told?.requests?.remaining], [0, 2]);
  bench.limiter.withdraw(refused);
  assert.deepEqual([bench.told?.tokens?.remaining, bench.told?.requests?.remaining], [100, 3], 'and says so');
  bench.limiter.settle(await bench.ask({ project, tokens: 100 }), 'none');
  assert.deepEqual([bench.told?.tokens?.remaining, bench.told?.requests?.remaining], [0, 2], 'withdrawn as a whole');
  bench.limiter.settle(await bench.ask({ project, tokens: 100 }), 'uncounted');
  assert.deepEqual([bench.told?.tokens?.remaining, bench.told?.requests?.remaining], [0, 1]);
  await bench.refused({ project, tokens: 1 });
});

test('more than a minute holds is refused for good, and says so', async () => {
  const bench = new Bench();
  const error = await bench.refused({ model: { tokens_per_minute: 100 }, tokens: 101 });
  assert.deepEqual([error.row, error.retryAfter, error.shouldRetry], ['request_over_limit', undefined, false]);
  assert.match(
    error.message,
    /^Request too large for model 'otter' on tokens per min \(TPM\): Limit 100, Requested 101\./,
  );
});

test('a budget counts what the store knows and what ends here, until midnight in UTC', async () => {
  const bench = new Bench();
  const project = { tokens_per_day: 100 };
  bench.stored = { project: [{ modelEntry: 'otter', input: 40, cached: 0, output: 20, requests: 3 }] };
  const running = await bench.ask({ project });
  assert.deepEqual(bench.reads, ['project 2026-01-01']);
  bench.limiter.settle(running, { input: 30, cached: 0, output: 9 });
  await bench.ask({ project });
  bench.limiter.settle(await bench.ask({ project }), { input: 0, cached: 0, output: 1 });

  const error = await bench.refused({ project });
  assert.equal(error.body.error.type, 'insufficient_quota');
  assert.deepEqual([error.row, error.retryAfter, error.shouldRetry], ['budget_exceeded', 12 * 3_600, false]);
  assert.match(error.message, /project 'proj_1' has used 100 of 100 tokens for today/);
  assert.equal(bench.reads.length, 1, 'it was asked once');

  bench.stored = { project: [{ modelEntry: 'otter', input: 70, cached: 0, output: 30, requests: 6 }] };
  bench.clock.advance(12 * 3_600_000 - 1);
  assert.equal((await bench.refused({ project })).retryAfter, 1);
  bench.stored = {};
  bench.clock.advance(1);
  await bench.ask({ project });
  assert.equal(bench.reads.at(-1), 'project 2026-01-02');
});

test('what other processes add is seen within seconds', async () => {
  const bench = new Bench();
  const key = { tokens_per_day: 100 };
  await bench.ask({ key });
  bench.stored = { key: [{ modelEntry: 'otter', input: 100, cached: 0, output: 0, requests: 1 }] };
  await bench.ask({ key });
  bench.clock.advance(5_000);
  await bench.ask({ key });
  await nextTurn();
  await bench.refused({ key });
  assert.deepEqual(bench.reads, ['key 2026-01-01', 'key 2026-01-01']);

  bench.stored = {};
  bench.clock.advance(30_000);
  await bench.ask({ key });
  assert.equal(bench.reads.length, 3, 'what is as old as that is not relied on');
});

test('money is counted by the price of each model, cached input apart', async () => {
  const bench = new Bench({ otter: { input: 2, cached_input: 0.5, output: 10 } });
  const model = { cost_per_day: 0.01 };
  // 800 × 2 + 200 × 0.5 + 400 × 10 = 5,700 for a million
  bench.stored = { model: [{ modelEntry: 'otter', input: 1_000, cached: 200, output: 400, requests: 1 }] };
  const id = await bench.ask({ model });
  bench.limiter.settle(id, { input: 0, cached: 0, output: 430 });
  const error = await bench.refused({ model });
  assert.match(error.message, /model 'otter' has used 0\.01 of 0\.01 in money for today/);

  const free = new Bench();
  free.stored = bench.stored;
  await free.ask({ model });
});

test('who is over the budget loses nothing of the limits a minute', async () => {
  const bench = new Bench();
  bench.stored = { project: [{ modelEntry: 'otter', input: 5, cached: 0, output: 0, requests: 1 }] };
  const project = { tokens_per_day: 5, requests_per_minute: 10 };
  await bench.refused({ project });
  await bench.refused({ project });
  assert.deepEqual(bench.told, { requests: { limit: 10, remaining: 10, resetMs: 0 } });
});

test('times are said as OpenAI says them', () => {
  const said = [0, 0.2, 12, 999.1, 1_500, 59_999, 60_000, 61_500, 360_000, 3_600_000, 3_661_001].map(formatReset);
  assert.deepEqual(said, [
    '0s',
    '1ms',
    '12ms',
    '1s',
    '1.5s',
    '59.999s',
    '1m0s',
    '1m1.5s',
    '6m0s',
    '1h0m0s',
    '1h1m1.001s',
  ]);
});
