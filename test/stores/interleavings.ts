import type { Store } from '../../server/src/domain/ports.ts';
import { isEnded } from '../../server/src/domain/status.ts';
import { look } from './log-look.ts';
import { DAY_MS, LARGE, LEASE_MS } from './log-model.ts';
import type { Known, View } from './log-model.ts';
import { LogWorld } from './log-world.ts';

/**
 * Every order in which the steps of a few actors can come (stateless model checking): each order is played from the
 * beginning on a response of its own, and left as soon as it comes to a state that was reached before with the same
 * steps ahead, since all that can follow was or will be seen from there.
 */

type Step = (world: LogWorld, known: Known) => Promise<void>;
type Scenario = { name: string; begin: (world: LogWorld) => Promise<void>; actors: Step[][] };

// ---------------------------------------------------------------- steps

/** The newest view that a worker has of the response: what its run believes. */
function viewOf(world: LogWorld, worker: string): View | undefined {
  return world.views.findLast((view) => view.worker === worker);
}

function own(worker: string, step: (world: LogWorld, view: View) => Promise<void>): Step {
  return async (world) => {
    const view = viewOf(world, worker);
    if (view !== undefined) await step(world, view);
  };
}

const append = (worker: string): Step => own(worker, (world, view) => world.append(view, 1));
const appendLarge = (worker: string): Step => own(worker, (world, view) => world.append(view, 1, LARGE));
const close = (worker: string): Step => own(worker, (world, view) => world.close(view, 'completed'));
const fail = (worker: string): Step => own(worker, (world, view) => world.close(view, 'failed'));
const intrude = (worker: string): Step =>
  own(worker, async (world, view) => {
    await world.intrude(view, 'behind the end');
    await world.intrude(view, 'over a gap');
  });
const resend = (worker: string): Step => own(worker, (world, view) => world.resend(view));
const cancel =
  (worker: string): Step =>
  (world, known) =>
    world.cancel(worker, known);
const takeOver =
  (worker: string): Step =>
  (world, known) =>
    world.takeOver(worker, known);
const handBack =
  (worker: string): Step =>
  (world, known) =>
    world.handBack(worker, known);
const claim =
  (worker: string): Step =>
  (world) =>
    world.claim(worker, 1);
const remove: Step = (world, known) => world.delete(known);
const compact: Step = (world) => world.compact();
const sweep =
  (after: number): Step =>
  (world) => {
    world.now += after;
    return world.sweep();
  };

const running = (world: LogWorld): Promise<void> => world.create('w1');
const queued = (world: LogWorld): Promise<void> => world.create(null);

/** Three steps each, and in the long form four. */
const SCENARIOS: (Scenario & { more: Step[] })[] = [
  {
    name: 'an owner, a canceller, a taker',
    begin: running,
    actors: [
      [append('w1'), append('w1'), close('w1')],
      [cancel('w2'), close('w2'), remove],
      [takeOver('w3'), append('w3'), fail('w3')],
    ],
    more: [resend('w1'), cancel('w2'), handBack('w3')],
  },
  {
    name: 'two claimers, a canceller',
    begin: queued,
    actors: [
      [claim('w1'), append('w1'), handBack('w1')],
      [claim('w3'), takeOver('w3'), close('w3')],
      [cancel('w2'), handBack('w2'), takeOver('w2')],
    ],
    more: [close('w1'), append('w3'), close('w2')],
  },
  {
    name: 'an owner whose answers are lost, a delete, the housekeeping',
    begin: running,
    actors: [
      [append('w1'), close('w1'), resend('w1')],
      [remove, intrude('w1'), takeOver('w2')],
      [compact, sweep(2 * LEASE_MS + 1), sweep(DAY_MS)],
    ],
    more: [append('w1'), remove, compact],
  },
  {
    name: 'an owner of large chunks, a canceller, a compaction',
    begin: running,
    actors: [[appendLarge('w1'), append('w1'), close('w1')], [cancel('w2'), close('w2')], [compact]],
    more: [resend('w1'), remove, compact],
  },
];

// ---------------------------------------------------------------- exploring

/** What was explored, a line a scenario. */
export async function exploreAll(store: Store, now: number, scripts: 'short' | 'long'): Promise<string[]> {
  const lines: string[] = [];
  let time = now;
  for (const { more, ...scenario } of SCENARIOS) {
    const actors =
      scripts === 'short' ? scenario.actors : scenario.actors.map((steps, at) => [...steps, ...more.slice(at, at + 1)]);
    const explored = new Exploration({ ...scenario, actors }, store, time);
    const line = await explored.run();
    time = explored.time;
    lines.push(line);
  }
  return lines;
}

class Exploration {
  /** Time only goes on, so that what earlier orders left is swept away. */
  time: number;
  readonly #scenario: Scenario;
  readonly #store: Store;
  /** By the steps that are still to come. */
  readonly #reached = new Set<string>();
  #covered = 0;
  #played = 0;

  constructor(scenario: Scenario, store: Store, now: number) {
    this.#scenario = scenario;
    this.#store = store;
    this.time = now;
  }

  async run(): Promise<string> {
    await this.#sweepAway();
    const unplayed: number[][] = [[]];
    for (let order = unplayed.pop(); order !== undefined; order = unplayed.pop()) {
      await this.#play(order, unplayed);
    }
    return `${this.#scenario.name}: ${this.#covered} interleavings by ${this.#played} that were played, ${this.#reached.size} states`;
  }

  /** What other scenarios left: a sweep in a play has to come to the play's own. */
  async #sweepAway(): Promise<void> {
    this.time += 2 * DAY_MS;
    for (let rows = 1; rows > 0;) {
      const { expired, logs, purged } = await this.#store.sweep(this.time, this.time + 1, 100);
      rows = expired + logs + purged;
    }
  }

  /** Plays `begun`, then on to the end by the first steps there are, or to a known state. */
  async #play(begun: readonly number[], unplayed: number[][]): Promise<void> {
    this.#played += 1;
    this.time += 2 * DAY_MS;
    const world = new LogWorld(this.#store, this.time, false);
    await this.#scenario.begin(world);
    const [known] = world.responses;
    if (known === undefined) throw new Error('nothing to play with');
    const order: number[] = [];
    const left = this.#scenario.actors.map(({ length }) => length);
    try {
      for (;;) {
        const able = left.flatMap((count, actor) => (count > 0 ? [actor] : []));
        const [first, ...others] = order.length < begun.length ? begun.slice(order.length, order.length + 1) : able;
        if (first === undefined) break;
        unplayed.push(...others.map((other) => [...order, other]));
        const steps = this.#scenario.actors[first] ?? [];
        await steps[steps.length - (left[first] ?? 0)]?.(world, known);
        order.push(first);
        left[first] = (left[first] ?? 0) - 1;
        if (order.length >= begun.length && !(await this.#isNew(world, known, left))) break;
      }
    } catch (error) {
      throw new Error(`${this.#scenario.name}, in the order ${order.join(' ')}`, { cause: error });
    }
    this.#covered += interleavings(left);
    // Nothing may be left in the queue for the next play.
    if (!isEnded(known.status)) await world.end(known);
    this.time = world.now;
  }

  async #isNew(world: LogWorld, known: Known, left: readonly number[]): Promise<boolean> {
    const state = stateOf(known, world.views, left, world.now - this.time);
    if (this.#reached.has(state)) return false;
    this.#reached.add(state);
    await look(world, known);
    return true;
  }
}

/** Everything that what follows depends on, without the names that differ from play to play. */
function stateOf(known: Known, owners: readonly View[], left: readonly number[], passed: number): string {
  const { status, owner, epoch, attempt, cancelling, tail, compacted, logGone, deletedAt, purged, log } = known;
  const views = owners.map(({ worker, n, epoch, dead, mustCancel, last, said, fold }) => [
    [worker, n, epoch, dead, mustCancel, said, fold.nextSequence, fold.ended],
    last && [last.accepted, last.append.chunk.n, last.append.end?.status],
  ]);
  const texts = log.map((event) => (JSON.parse(event) as { type: string; delta?: string }).delta ?? '');
  const gone = deletedAt !== null;
  return JSON.stringify([
    left,
    passed,
    status,
    owner,
    epoch,
    attempt,
    cancelling,
    tail,
    compacted,
    logGone,
    gone,
    purged,
    texts,
    views,
  ]);
}

/** How many orders there are of so many steps of each actor. */
function interleavings(left: readonly number[]): number {
  let count = 1;
  let placed = 0;
  for (const steps of left) {
    for (let step = 1; step <= steps; step += 1) {
      placed += 1;
      count = (count * placed) / step;
    }
  }
  return Math.round(count);
}
