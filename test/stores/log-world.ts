import assert from 'node:assert/strict';
import { Assembler } from '../../server/src/domain/assembler.ts';
import { encodeEvents, encodeInProgress } from '../../server/src/domain/chunk-codec.ts';
import { endedState } from '../../server/src/domain/ended-state.ts';
import { Fold } from '../../server/src/domain/fold.ts';
import type { Append, End, OwnedResponse, Store } from '../../server/src/domain/ports.ts';
import { foldLog } from '../../server/src/domain/read-log.ts';
import {
  DAY_MS,
  LEASE_MS,
  LOG_MS,
  fence,
  hasLog,
  inProgress,
  isFull,
  isOrphan,
  nextTurn,
  waitingOf,
  write,
} from './log-model.ts';
import type { Known, Project, View } from './log-model.ts';
import { isEnded } from '../../server/src/domain/status.ts';
import type { EndStatus } from '../../server/src/domain/status.ts';
import { countingIds, queuedResponse, stillClock } from '../support/arbitrary.ts';

/**
 * The log and lease protocol as a model (design.md §1, §5-§8), beside a store that is asked the same. Each method is
 * one verb of one actor: it says what the store must answer, compares, and goes on. An actor's knowledge of a
 * response is a view, made when it became the owner; a view whose response was taken away meanwhile is a zombie.
 */

let worlds = 0;

export class LogWorld {
  store: Store;
  now: number;
  readonly responses: Known[] = [];
  readonly views: View[] = [];
  /** How many verbs the store was asked. */
  asked = 0;
  readonly #prefix = `resp_${(worlds += 1)}_`;
  readonly #ids = countingIds();
  /** Whether the store holds nothing but this world, so that what it counts is known. */
  readonly alone: boolean;
  readonly projects: Project[];
  #lastTurn = 0;

  constructor(store: Store, now: number, alone: boolean) {
    this.store = store;
    this.now = now;
    this.alone = alone;
    // Weights that floating point numbers hold exactly: the store's turns have gone on through other worlds.
    this.projects = alone
      ? [
          { id: `${this.#prefix}a`, weight: 2, maxRunning: Infinity, pass: 0 },
          { id: `${this.#prefix}b`, weight: 1, maxRunning: 2, pass: 0 },
        ]
      : [{ id: 'default', weight: 1, maxRunning: Infinity, pass: 0 }];
  }

  /** Projects of its own, if it is alone. */
  async open(): Promise<void> {
    if (!this.alone) return;
    for (const { id, weight, maxRunning } of this.projects) {
      await this.ask('createProject', {
        id,
        name: id,
        retention: null,
        weight,
        maxRunning: maxRunning === Infinity ? null : maxRunning,
        limits: {},
        createdAt: this.now,
      });
    }
  }

  // ------------------------------------------------------------ owners

  /**
   * @param worker null: it waits in the queue
   * @param place of its project
   */
  async create(worker: string | null, place = 0, priority = 0): Promise<void> {
    const project = this.projects[place % this.projects.length];
    if (project === undefined) throw new Error('no such project');
    const id = `${this.#prefix}${this.responses.length}`;
    const fold = new Fold();
    const assembler = new Assembler(fold, this.#ids, stillClock);
    assembler.begin(queuedResponse({ id }), worker !== null);
    const events = assembler.take();
    const expiresAt = this.now + DAY_MS;
    const body = encodeEvents(events, fold.response);
    const made = await this.ask(
      'create',
      {
        id,
        projectId: project.id,
        priority,
        model: 'otter',
        provider: 'scripted',
        stream: true,
        request: { body: { model: 'otter', input: 'hi' }, upstreamModel: 'otter', inputItems: [] },
        createdAt: this.now,
        expiresAt,
        previousResponseId: null,
        conversation: null,
        history: [],
        workerId: worker,
        chunk: { n: 0, firstSequence: 0, count: events.length, epoch: 0, closed: false, body },
      },
      1_000,
    );
    const limited = project.maxRunning !== Infinity;
    const waiting = waitingOf(this.responses, project);
    if (worker !== null && limited && (waiting.length > 0 || isFull(this.responses, project))) {
      assert.deepEqual(made, { outcome: 'must_wait' }, `${id}: it has a slot, and others of its project wait`);
      return;
    }
    assert.ok(made.outcome === 'created', `${id}: ${made.outcome}`);
    if (this.alone) {
      const before = waiting.filter((other) => other.priority >= priority).length;
      assert.equal(made.position, worker === null ? before + 1 : undefined, `${id}: its place`);
    }
    const known: Known = {
      id,
      project,
      priority,
      no: made.no,
      status: fold.response.status,
      owner: worker,
      epoch: 0,
      attempt: worker === null ? 0 : 1,
      cancelling: false,
      log: [],
      fold: new Fold(),
      tail: { n: 0, closed: false },
      compacted: false,
      snapshot: null,
      expiresAt,
      logExpiresAt: null,
      logGone: false,
      deletedAt: null,
      purged: false,
    };
    write(known, events);
    this.responses.push(known);
    if (worker !== null) this.#view(worker, known, fold, assembler);
  }

  async claim(worker: string, limit: number): Promise<void> {
    const claimed = await this.ask('claim', worker, limit, encodeInProgress(), this.now);
    const ids = claimed.responses.map(({ id }) => id);
    for (const [index, id] of ids.entries()) {
      const next = nextTurn(this.responses, this.projects, this.#lastTurn);
      assert.equal(id, next?.known.id, `claim ${index} of ${limit}: not the one whose turn it is`);
      if (next === undefined) return;
      const { known, at } = next;
      this.#lastTurn = at;
      known.project.pass = at + 1 / known.project.weight;
      known.status = 'in_progress';
      known.owner = worker;
      known.attempt += 1;
      known.tail.n += 1;
      write(known, [inProgress(known.fold.response, known.log.length)]);
    }
    const more = nextTurn(this.responses, this.projects, this.#lastTurn);
    assert.ok(ids.length === limit || more === undefined, 'one who could have a turn got none');
    const held = this.projects.filter(
      (project) => isFull(this.responses, project) && waitingOf(this.responses, project).length > 0,
    );
    assert.deepEqual(
      claimed.held,
      held.map(({ id }) => id),
      'who waits for their own',
    );
    for (const owned of claimed.responses) {
      const known = this.responses.find(({ id }) => id === owned.id);
      if (known !== undefined) await this.#own(worker, known, owned);
    }
  }

  /**
   * The next text of an owner, or of who believes to be one.
   * @param filling makes a chunk that compaction leaves as it is
   */
  async append(view: View, count: number, filling = ''): Promise<void> {
    if (view.dead || view.mustCancel || view.assembler.ended) return;
    for (let at = 0; at < count; at += 1) {
      view.said += 1;
      view.assembler.push({ type: 'text', delta: `${view.worker}@${view.epoch}.${view.said}${filling} ` });
    }
    await this.#append(view, undefined);
  }

  /** The closing append: the second half of a cancel, if one was asked for. */
  async close(view: View, status: 'completed' | 'failed'): Promise<void> {
    if (view.dead || view.assembler.ended) return;
    if (view.mustCancel) view.assembler.cancel();
    else if (status === 'failed') view.assembler.fail('server_error', 'It broke.');
    else {
      view.assembler.push({ type: 'finish', reason: 'stop' });
      view.assembler.finish();
    }
    const ended = view.assembler.response;
    await this.#append(view, {
      ...endedState(ended, ended.status as EndStatus, []),
      doneAt: this.now,
      logExpiresAt: this.now + LOG_MS,
      eventId: null,
    });
  }

  async #append(view: View, end: End | undefined): Promise<void> {
    const { known } = view;
    const events = view.assembler.take();
    const chunk = {
      n: view.n + 1,
      firstSequence: view.fold.nextSequence - events.length,
      count: events.length,
      epoch: view.epoch,
      closed: end !== undefined,
      body: encodeEvents(events, view.fold.response),
    };
    const append: Append = end === undefined ? { no: known.no, chunk } : { no: known.no, chunk, end };
    const [accepted] = await this.ask('append', [append]);
    view.last = { append, accepted: accepted === true };
    if (accepted === true) {
      assert.ok(!known.tail.closed, `${known.id}: something was accepted after the end`);
      assert.equal(view.epoch, known.epoch, `${known.id}: a fenced owner's append was accepted`);
      assert.ok(known.owner === view.worker || known.owner === null, `${known.id}: appended by who is not its owner`);
      assert.equal(chunk.firstSequence, known.log.length, `${known.id}: the numbers are not dense`);
    }
    const expected = hasLog(known) && !known.tail.closed && known.tail.n === view.n && known.epoch === view.epoch;
    assert.equal(accepted, expected, `${known.id}: an append of ${view.worker}, epoch ${view.epoch}`);
    if (!expected) {
      view.dead = true;
      return;
    }
    view.n = chunk.n;
    known.tail = { n: chunk.n, closed: chunk.closed };
    write(known, events);
    if (end === undefined) return;
    assert.equal(known.cancelling, end.status === 'cancelled', `${known.id}: a cancel that was asked for is the end`);
    known.status = end.status;
    known.owner = null;
    known.snapshot = new TextDecoder().decode(end.snapshot);
    known.logExpiresAt = end.logExpiresAt;
  }

  /** The answer to the last append was lost, so it is sent again, or it came late out of a network. */
  async resend({ known, last }: View): Promise<void> {
    if (last === undefined) return;
    const [accepted] = await this.ask('append', [last.append]);
    const stored = hasLog(known) && !known.compacted && known.deletedAt === null;
    if (last.accepted && stored) assert.equal(accepted, true, `${known.id}: the store does not know its own chunk`);
    if (!last.accepted) assert.equal(accepted, false, `${known.id}: what was refused is accepted now`);
  }

  /** An append that no worker makes, but a broken one could: behind the end it wrote, or over a gap. */
  async intrude({ known, n, epoch, assembler }: View, where: 'behind the end' | 'over a gap'): Promise<void> {
    if (where === 'behind the end' && !assembler.ended) return;
    const place = where === 'over a gap' ? known.tail.n + 2 : n + 1;
    const chunk = { n: place, firstSequence: known.log.length, count: 1, epoch, closed: false };
    const [accepted] = await this.ask('append', [{ no: known.no, chunk: { ...chunk, body: encodeInProgress() } }]);
    assert.equal(accepted, false, `${known.id}: an append ${where} was accepted`);
  }

  async cancel(worker: string, known: Known): Promise<void> {
    const answer = await this.ask('fenceForCancel', known.project.id, known.id, worker, this.now);
    const gone = known.purged || known.deletedAt !== null;
    const expected = gone ? 'absent' : isEnded(known.status) ? 'ended' : known.cancelling ? 'pending' : 'fenced';
    assert.equal(answer.outcome, expected, `${known.id}: cancel`);
    if (answer.outcome !== 'fenced') return;
    known.cancelling = true;
    fence(known, worker);
    await this.#own(worker, known, answer.response);
  }

  async takeOver(worker: string, known: Known): Promise<void> {
    const taken = await this.ask('takeOver', known.no, worker);
    assert.equal(taken !== undefined, isOrphan(known, worker), `${known.id}: taken over by ${worker}`);
    if (taken === undefined) return;
    known.attempt += 1;
    fence(known, worker);
    await this.#own(worker, known, taken);
  }

  async handBack(worker: string, known: Known): Promise<void> {
    await this.ask('handBack', worker, [known.no]);
    if (known.owner !== worker || isEnded(known.status)) return;
    known.owner = null;
    known.attempt = Math.max(known.attempt - 1, 0);
  }

  // ------------------------------------------------------------ forgetting

  async delete(known: Known): Promise<void> {
    const answer = await this.ask('delete', known.project.id, known.id, this.now);
    const gone = known.purged || known.deletedAt !== null;
    const ended = isEnded(known.status);
    const expected = gone || (ended && known.expiresAt <= this.now) ? 'absent' : ended ? 'deleted' : 'unfinished';
    assert.equal(answer, expected, `${known.id}: delete`);
    if (answer === 'deleted') known.deletedAt = this.now;
  }

  async compact(): Promise<void> {
    while ((await this.ask('compact', 100)) > 0);
    for (const known of this.responses) known.compacted ||= known.tail.closed;
  }

  async sweep(): Promise<void> {
    const purgeBefore = this.now - 2 * LEASE_MS;
    const swept = await this.ask('sweep', this.now, purgeBefore, 100);
    const expected = { expired: 0, logs: 0, purged: 0, keys: 0 };
    for (const known of this.responses) {
      if (known.purged) continue;
      if (known.deletedAt === null && isEnded(known.status) && known.expiresAt <= this.now) {
        known.deletedAt = this.now;
        expected.expired += 1;
      } else if (known.deletedAt === null && !known.logGone && (known.logExpiresAt ?? Infinity) <= this.now) {
        known.logGone = true;
        expected.logs += 1;
      }
      if (known.deletedAt !== null && known.deletedAt < purgeBefore) {
        known.purged = true;
        expected.purged += 1;
      }
    }
    if (this.alone) assert.deepEqual(swept, expected, 'what a sweep forgets');
  }

  /** Ends what is unfinished and waits until everything is forgotten: the store is empty again. */
  async forgetAll(): Promise<void> {
    for (const known of this.responses.filter(({ status }) => !isEnded(status))) await this.end(known);
    for (const ms of [DAY_MS, 2 * LEASE_MS + 1]) {
      this.now += ms;
      await this.sweep();
    }
  }

  async end(known: Known): Promise<void> {
    await this.cancel('the last', known);
    await this.takeOver('the last', known);
    const view = this.views.findLast((view) => view.known === known && view.worker === 'the last');
    if (view !== undefined) await this.close(view, 'failed');
  }

  // ------------------------------------------------------------ inside

  async #own(worker: string, known: Known, owned: OwnedResponse | undefined): Promise<void> {
    assert.equal(owned?.attempt, known.attempt, `${known.id}: its attempts`);
    const fold = await foldLog(this.store, known.no);
    const nextSequence = known.log.length;
    assert.deepEqual(owned?.tail, { n: known.tail.n, nextSequence, epoch: known.epoch }, `${known.id}: its tail`);
    this.#view(worker, known, fold, new Assembler(fold, this.#ids, stillClock));
  }

  #view(worker: string, known: Known, fold: Fold, assembler: Assembler): void {
    const { cancelling: mustCancel, epoch, tail } = known;
    const { n } = tail;
    this.views.push({ worker, known, n, epoch, fold, assembler, mustCancel, dead: false, last: undefined, said: 0 });
  }

  ask<V extends keyof Store>(verb: V, ...args: Parameters<Store[V]>): ReturnType<Store[V]> {
    this.asked += 1;
    const call = this.store[verb] as (...args: Parameters<Store[V]>) => ReturnType<Store[V]>;
    return call(...args);
  }
}
