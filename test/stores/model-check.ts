import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { StoreHarness } from './conformance.ts';
import { exploreAll } from './interleavings.ts';
import { look, lookAtAll, lookForOrphans } from './log-look.ts';
import { DAY_MS, LARGE, LEASE_MS, LOG_MS } from './log-model.ts';
import type { Known, View } from './log-model.ts';
import { LogWorld } from './log-world.ts';

/**
 * Every store against the model of the protocol: random interleavings of what workers, cancellers, sweeps and readers
 * do, zombies and lost answers included, and all interleavings of some short scripts.
 */

const NOW = 1_700_000_000_000;
const WORKERS = ['w1', 'w2', 'w3'];

type Real = { world: LogWorld; harness: StoreHarness };
/** The model is the world's: the store and what it must say are asked in one step. */
type Step = fc.AsyncCommand<object, Real>;

class Do implements Step {
  readonly #name: string;
  readonly #run: (real: Real) => Promise<void>;

  constructor(name: string, run: (real: Real) => Promise<void>) {
    this.#name = name;
    this.#run = run;
  }

  check(): boolean {
    return true;
  }

  run(_model: object, real: Real): Promise<void> {
    return this.#run(real);
  }

  toString(): string {
    return this.#name;
  }
}

const worker = fc.constantFrom(...WORKERS);
const place = fc.nat({ max: 40 });

/** A step with one response; any number names one. */
function ofResponse(name: string, step: (world: LogWorld, known: Known, worker: string) => Promise<void>) {
  return fc.tuple(place, worker).map(
    ([at, worker]) =>
      new Do(`${name} ${at} by ${worker}`, async ({ world }) => {
        const known = world.responses[at % Math.max(1, world.responses.length)];
        if (known !== undefined) await step(world, known, worker);
      }),
  );
}

/** A step of who is, was or believes to be an owner: mostly of the newest, often of a zombie. */
function ofOwner(name: string, step: (world: LogWorld, view: View, size: number) => Promise<void>) {
  return fc.tuple(fc.nat({ max: 8 }), fc.integer({ min: 1, max: 3 })).map(
    ([back, size]) =>
      new Do(`${name} ${size} by the owner ${back} before the newest`, async ({ world }) => {
        const view = world.views[world.views.length - 1 - (back % Math.max(1, world.views.length))];
        if (view !== undefined) await step(world, view, size);
      }),
  );
}

function always(name: string, step: (real: Real) => Promise<void>) {
  return fc.constant(new Do(name, step));
}

const COMMANDS = [
  fc
    .tuple(worker, place)
    .map(([by, at]) => new Do(`create by ${by} in project ${at}`, ({ world }) => world.create(by, at))),
  ...[1, 2].map(() =>
    fc
      .tuple(place, fc.integer({ min: -1, max: 1 }))
      .map(
        ([at, priority]) =>
          new Do(`create, queued in project ${at} with priority ${priority}`, ({ world }) =>
            world.create(null, at, priority),
          ),
      ),
  ),
  fc
    .tuple(worker, fc.integer({ min: 1, max: 3 }))
    .map(([by, limit]) => new Do(`claim ${limit} by ${by}`, ({ world }) => world.claim(by, limit))),
  ...[1, 2, 3].map(() => ofOwner('append', (world, view, size) => world.append(view, size))),
  ofOwner('append a large one', (world, view) => world.append(view, 1, LARGE)),
  ofOwner('complete', (world, view) => world.close(view, 'completed')),
  ofOwner('fail', (world, view) => world.close(view, 'failed')),
  ofOwner('intrude', (world, view, size) => world.intrude(view, size === 1 ? 'over a gap' : 'behind the end')),
  ofOwner('send again', (world, view) => world.resend(view)),
  ofResponse('cancel', (world, known, by) => world.cancel(by, known)),
  ofResponse('take over', (world, known, by) => world.takeOver(by, known)),
  ofResponse('hand back', (world, known, by) => world.handBack(by, known)),
  ofResponse('delete', (world, known) => world.delete(known)),
  always('compact', ({ world }) => world.compact()),
  always('sweep', ({ world }) => world.sweep()),
  fc.constantFrom(LEASE_MS, 2 * LEASE_MS + 1, LOG_MS, DAY_MS).map(
    (ms) =>
      new Do(`${ms} ms pass`, ({ world }) => {
        world.now += ms;
        return Promise.resolve();
      }),
  ),
  fc.tuple(place, fc.integer({ min: -1, max: 30 }), fc.constantFrom(1, 200, 1 << 20)).map(
    ([at, after, maxBytes]) =>
      new Do(`read ${at} after ${after}`, async ({ world }) => {
        const known = world.responses[at % Math.max(1, world.responses.length)];
        if (known !== undefined) await look(world, known, Math.min(after, known.log.length - 1), maxBytes);
      }),
  ),
  worker.map((by) => new Do(`orphans of ${by}`, ({ world }) => lookForOrphans(world, by))),
];

/** The process goes and comes back in every so many worlds: that takes as long as a hundred verbs. */
const REOPEN_EVERY = 10;

export type Effort = { runs: number; steps: number; scripts: 'short' | 'long'; seed: number };
/** What `npm test` has time for. */
const SHORT: Effort = { runs: 60, steps: 60, scripts: 'short', seed: 20_260_101 };

export function modelCheck(name: string, open: () => Promise<StoreHarness>, effort = SHORT): void {
  describe(`the protocol's model: ${name}`, () => {
    test(`${effort.runs} random interleavings of up to ${effort.steps} steps`, async (t) => {
      let asked = 0;
      let now = NOW;
      let harness = await open();
      let worlds = 0;
      const property = fc.asyncProperty(
        fc.commands(COMMANDS, { maxCommands: effort.steps, size: 'max' }),
        async (commands) => {
          const world = new LogWorld(harness.store, now, true);
          try {
            await world.open();
            for (const owner of ['w1', 'w2', null]) await world.create(owner);
            await fc.asyncModelRun(() => ({ model: {}, real: { world, harness } }), commands);
            worlds += 1;
            if (worlds % REOPEN_EVERY === 0) {
              harness.store = await harness.reopen();
              world.store = harness.store;
            }
            await lookAtAll(world);
            await world.forgetAll();
          } catch (error) {
            // What is left of a world that broke the rules would break them for the next.
            await harness.dispose();
            harness = await open();
            throw error;
          }
          ({ now } = world);
          asked += world.asked;
        },
      );
      try {
        await fc.assert(property, { numRuns: effort.runs, seed: effort.seed });
      } finally {
        await harness.dispose();
      }
      t.diagnostic(`${asked} verbs, seed ${effort.seed}`);
    });

    test(`all interleavings of ${effort.scripts} scripts`, async (t) => {
      const harness = await open();
      try {
        for (const line of await exploreAll(harness.store, NOW, effort.scripts)) t.diagnostic(line);
      } finally {
        await harness.dispose();
      }
    });
  });
}
