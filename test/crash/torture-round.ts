import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { SCHEMA_VERSION } from '../../server/src/stores/sqlite/schema.ts';
import { temporaryDirectory } from '../support/holt.ts';
import { Random } from '../support/random.ts';
import { Receiver, eventIn } from '../support/webhook-receiver.ts';
import { ALL } from '../contract/webhook-endpoint.ts';
import { ServerGone, call, get, post } from './clients.ts';
import { describeHistories } from './describe-history.ts';
import type { Figures } from './figures.ts';
import { Machine } from './machine.ts';
import { Milestones, count } from './milestones.ts';
import { OldResponses } from './old-directory.ts';
import { BRISK } from './plan.ts';
import type { Point, Stop } from './points.ts';
import { Population } from './population.ts';
import type { Life } from './population.ts';
import { planLife } from './plan-life.ts';
import type { LifePlan } from './plan-life.ts';
import { tellStory } from './round.ts';
import { settle } from './settle.ts';
import { Victim } from './victim.ts';
import type { Exit } from './victim.ts';

/**
 * A round of the torture: a directory of an older Holt, servers on it that are stopped one after the other at named
 * points and at moments that clients saw, clients that go on all the time, and at the end the checker.
 */

/** What every round begins with; made once. */
export type Kit = { story: readonly string[]; old: OldResponses };

/** Servers of a round that serve and are stopped. */
const LIVES = 3;
const CLIENTS = 10;
/** Less than clients, so that some responses wait in the queue. */
const SETTINGS = {
  worker: { concurrency: 5, drain: '30ms' },
  limits: { foreground_wait: '300ms' },
  webhooks: { allow_http: true, allow_private: true },
};
/** The last server lets everything end. */
const LAST_SETTINGS = { ...SETTINGS, worker: { concurrency: 32, drain: '30s' } };
/** A point that was not reached for so long after the clients were done will not be, ms. */
const QUIET_MS = 250;
/** The longest that a server lives, ms. */
const LIFE_MS = 2_500;
/** A line of the log that says that something failed. */
const COMPLAINT = /"level":(50|60|"error"|"fatal")/;
/** What one that stops may complain about: it takes nothing new, aborts who waits, and leaves late cancels to the next. */
const STOPPING = /"row":"shutting_down"|"name":"AbortError"|"type":"StoreClosed"/;
/** What has not ended by then is stuck: a stop, and a round, ms. */
const STOP_MS = 15_000;
const ROUND_MS = 180_000;

export async function makeKit(signal: AbortSignal): Promise<Kit> {
  await using machine = await Machine.start(signal);
  const story = await tellStory(machine.url, BRISK.maxTokens);
  return { story, old: await OldResponses.make(signal, await temporaryDirectory()) };
}

/**
 * Rejects with an error that says how to repeat it and what was seen; the data directory is kept then.
 * @param aim where its servers are stopped, instead of what the seed chooses
 */
export async function tortureRound(kit: Kit, seed: number, figures: Figures, aim?: Point): Promise<void> {
  const round = new TortureRound(kit, seed, figures, aim);
  try {
    await round.run();
  } catch (error) {
    throw new Error(round.describe(error), { cause: error });
  }
}

class TortureRound {
  readonly #kit: Kit;
  readonly #seed: number;
  readonly #aim: Point | undefined;
  readonly #figures: Figures;
  readonly #random: Random;
  readonly #population: Population;
  readonly #story: string[] = [];
  readonly #expired = AbortSignal.timeout(ROUND_MS);
  #data = '';
  #kills = 0;
  #ends = 0;
  #endpoint = false;

  constructor(kit: Kit, seed: number, figures: Figures, aim?: Point) {
    this.#kit = kit;
    this.#aim = aim;
    this.#seed = seed;
    this.#figures = figures;
    this.#random = new Random(seed);
    this.#population = new Population(BRISK, figures.clients);
  }

  async run(): Promise<void> {
    // Kept when the round fails, for whoever has to find out why.
    this.#data = await mkdtemp(join(tmpdir(), 'holt-torture-'));
    await this.#kit.old.into(this.#data, 1 + this.#random.below(SCHEMA_VERSION));
    await writeFile(join(this.#data, 'holt.yaml'), JSON.stringify(SETTINGS)); // JSON is YAML
    await writeFile(join(this.#data, 'last.yaml'), JSON.stringify(LAST_SETTINGS));
    await using receiver = await Receiver.start();
    for (let index = 0; index < LIVES; index += 1) {
      const plan = planLife(this.#random, this.#seed, index, CLIENTS, this.#aim);
      if (!(await this.#live(plan, receiver))) await this.#live({ ...plan, stops: [] }, receiver);
    }
    await this.#settle(receiver);
    await rm(this.#data, { recursive: true, force: true });
  }

  describe(error: unknown): string {
    const text = error instanceof Error ? error.message : String(error);
    const at = this.#aim === undefined ? '' : ` --at '${this.#aim.name}'`;
    return [
      `round of seed ${this.#seed} failed; again: npm run torture -- --seed ${this.#seed} --rounds 1${at}`,
      `its data directory: ${this.#data}`,
      ...this.#story,
      text,
      ...describeHistories(text, this.#population),
    ].join('\n');
  }

  /** One server from its start to its end. False when it ended before it served. */
  async #live(plan: LifePlan, receiver: Receiver): Promise<boolean> {
    const terminates = plan.act === 'SIGTERM' || plan.stops.some(({ signal }) => signal === 'SIGTERM');
    const stopped: Stop['signal'][] = [];
    const victim = this.#start('holt.yaml', plan, (signal) => stopped.push(signal));
    const url = await victim.serves;
    if (url === undefined) {
      this.#ended(await victim.exited, victim, [
        ...stopped,
        ...(stopped.includes('SIGTERM') ? (['SIGKILL'] as const) : []),
      ]);
      return false;
    }
    const seen = new Milestones();
    const life: Life = { url, kills: this.#kills, random: this.#random, seen, stopping: terminates };
    const clients = this.#subscribe(url, receiver).then(() => this.#population.live(life, CLIENTS));
    // A failure of a client is seen when all is awaited; until then only its end matters.
    const quiet = clients.catch(() => undefined).then(() => sleep(QUIET_MS, undefined, { ref: false }));
    const moment = plan.moment === undefined ? quiet : seen.reached(...plan.moment);
    await Promise.race([victim.exited, quiet, moment, sleep(LIFE_MS, undefined, { ref: false })]);
    if (plan.pause && (await this.#runs(victim))) {
      count(this.#figures.stops, 'a random moment SIGSTOP');
      await victim.pause();
    }
    await this.#end(victim, plan, stopped);
    await clients;
    return true;
  }

  async #end(victim: Victim, plan: LifePlan, stopped: Stop['signal'][]): Promise<void> {
    const endsByItself = stopped.some((signal) => signal !== 'SIGSTOP') || !(await this.#runs(victim));
    if (!endsByItself) {
      life: if (plan.act === 'SIGTERM') {
        this.#note(`SIGTERM at a moment`, 'a random moment SIGTERM');
        victim.send('SIGTERM');
        stopped.push('SIGTERM');
        if (plan.killAfterMs === undefined) break life;
        await Promise.race([victim.exited, sleep(plan.killAfterMs)]);
        this.#note(`SIGKILL ${plan.killAfterMs} ms later`, 'during a stop SIGKILL');
        victim.send('SIGKILL');
        stopped.push('SIGKILL');
      } else {
        this.#note('SIGKILL at a moment', 'a random moment SIGKILL');
        victim.send('SIGKILL');
        stopped.push('SIGKILL');
      }
    }
    const late = sleep(STOP_MS, undefined, { ref: false });
    const exit = await Promise.race([victim.exited, late]);
    if (exit === undefined) {
      victim.send('SIGKILL');
      assert.fail(`a server did not end within ${STOP_MS} ms\n${victim.complaints}`);
    }
    this.#ended(exit, victim, stopped);
  }

  /** It ended by what was sent to it, and by nothing else. Before it serves, SIGTERM kills as SIGKILL does. */
  #ended({ code, signal }: Exit, victim: Victim, stopped: readonly Stop['signal'][]): void {
    this.#ends += 1;
    if (signal !== null) this.#kills += 1;
    const expected =
      (signal === 'SIGKILL' && stopped.includes('SIGKILL')) ||
      (signal === 'SIGTERM' && stopped.includes('SIGTERM')) ||
      (code === 0 && stopped.includes('SIGTERM'));
    assert.ok(expected, `a server ended with ${code ?? signal}, sent was ${stopped.join()}\n${victim.complaints}`);
    const mayComplain = stopped.includes('SIGTERM') ? STOPPING : /^$/;
    const complaints = victim.complaints.split('\n').filter((line) => COMPLAINT.test(line) && !mayComplain.test(line));
    assert.deepEqual(complaints, [], 'a server complained');
  }

  async #runs(victim: Victim): Promise<boolean> {
    return (await Promise.race([victim.exited, sleep(0, 'runs')])) === 'runs';
  }

  #start(config: string, plan: Pick<LifePlan, 'stops' | 'duringMs'>, onStop: (signal: Stop['signal']) => void): Victim {
    this.#story.push(`a server with ${JSON.stringify(plan)}`);
    const victim = new Victim({
      data: this.#data,
      flags: ['--config', join(this.#data, config)],
      stops: plan.stops,
      duringMs: plan.duringMs,
      stoppedMs: 5 + this.#random.below(60),
      onStop: ({ at, signal }) => {
        this.#note(`${signal} at ${at}`, `${at} ${signal}`);
        onStop(signal);
      },
    });
    this.#expired.addEventListener('abort', () => {
      victim.send('SIGKILL');
    });
    return victim;
  }

  #note(what: string, figure: string): void {
    this.#story.push(`  ${what}`);
    count(this.#figures.stops, figure);
  }

  async #subscribe(url: string, receiver: Receiver): Promise<void> {
    if (this.#endpoint) return;
    const body = { name: 'torture', url: receiver.url(), event_types: ALL };
    const answer = await call(`${url}/v1/webhook_endpoints`, post(body)).catch((error: unknown) => {
      if (!(error instanceof ServerGone)) throw error;
    });
    this.#endpoint = answer?.status === 200;
  }

  async #settle(receiver: Receiver): Promise<void> {
    const victim = this.#start('last.yaml', { stops: [], duringMs: 0 }, () => {});
    const url = await victim.serves;
    assert.ok(url !== undefined, `the last server does not serve\n${victim.complaints}`);
    try {
      await this.#kit.old.check(url);
      const ends = await settle(
        {
          url,
          data: this.#data,
          kills: this.#kills,
          ends: this.#ends,
          story: this.#kit.story,
          terminate: async () => {
            await this.#checkWebhooks(url, receiver);
            victim.send('SIGTERM');
            return (await victim.exited).code;
          },
          withStore: async (use) => {
            const store = await SqliteStore.open(this.#data);
            try {
              return await use(store);
            } finally {
              await store.close();
            }
          },
        },
        this.#population,
      );
      for (const [end, times] of ends) count(this.#figures.ends, end, times);
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${victim.complaints}`, {
        cause: error,
      });
    } finally {
      victim.send('SIGKILL');
    }
    assert.ok(!this.#expired.aborted, `the round took more than ${ROUND_MS} ms: something is stuck`);
  }

  /** What was told is how it ended, and what is told again has the same id. */
  async #checkWebhooks(url: string, receiver: Receiver): Promise<void> {
    const gone = new Set(this.#population.acknowledged.flatMap((one) => (one.deleted ? [one.history.id] : [])));
    const told = new Map<string, string>();
    for (const hit of receiver.hits) {
      const { data, type } = eventIn(hit);
      const what = `${type} ${String(hit.headers['webhook-id'])}`;
      assert.equal(told.get(data.id) ?? what, what, `${data.id} was told to have ended twice`);
      told.set(data.id, what);
    }
    for (const [id, what] of told) {
      if (!gone.has(id)) assert.equal(what.split(' ')[0], `response.${(await get(url, id)).status}`, id);
    }
  }
}
