import { Assembler } from '../domain/assembler.ts';
import { encodeInProgress } from '../domain/chunk-codec.ts';
import type { Fold } from '../domain/fold.ts';
import { ApiError, apiError } from '../domain/errors.ts';
import { openItems } from '../domain/seal.ts';
import type { Seal } from '../domain/seal.ts';
import type { Limiter } from '../domain/limits.ts';
import type { Metrics } from '../domain/metrics.ts';
import { StoreUnavailable } from '../domain/ports.ts';
import type {
  CancelPurpose,
  Clock,
  CommitEnd,
  ForegroundRun,
  Hints,
  Ids,
  Log,
  Models,
  OwnedResponse,
  Random,
  RunLimits,
  Runs,
  RunSpec,
  Slot,
  Store,
  Turn,
} from '../domain/ports.ts';
import { LOST, damagedFrom } from '../domain/lost-state.ts';
import { foldReadable } from '../domain/read-log.ts';
import type { Webhooks } from '../domain/webhook-store.ts';
import { Appender } from './appender.ts';
import { Background } from './background.ts';
import type { CrashSettings, Resumption } from './choose-policy.ts';
import { closeLog } from './close-log.ts';
import { Foreground } from './foreground.ts';
import { handBackOwned, handBackStrays, recoverOrphans } from './recover.ts';
import type { Owner } from './recover.ts';
import { endOverdue, overdueMessage } from './overdue.ts';
import { Slots } from './slots.ts';
import type { Share } from './slots.ts';
import { waitMs } from '../domain/wait.ts';

/**
 * What happens without anyone asking: runs what was claimed at create, claims what is queued, takes over what a dead
 * process left, ends what was cancelled. One for each process.
 */

export type WorkerSettings = {
  concurrency: number;
  crash: CrashSettings;
  /** What holds for models that have no limits of their own. */
  limits: RunLimits;
  logRetentionMs: number;
  zdrRetentionMs: number;
  /** How long running responses may go on when the server stops, ms. */
  drainMs: number;
  /** How long one may wait in the queue, ms; null: as long as it takes. */
  maxWaitMs: number | null;
};

export type WorkerDeps = {
  store: Store;
  hints: Hints;
  models: Models;
  seal: Seal;
  clock: Clock;
  ids: Ids;
  random: Random;
  log: Log;
  metrics: Metrics;
  webhooks: Pick<Webhooks, 'ended'>;
  limiter: Pick<Limiter, 'settle'>;
};

/** One claim transaction does not hold the store for longer than this many rows take. */
const CLAIM_BATCH = 32;

export class Worker implements Runs {
  readonly workerId: string;
  readonly #deps: WorkerDeps;
  readonly #settings: WorkerSettings;
  readonly #appender: Appender;
  readonly #slots: Slots;
  readonly #runs = new Map<string, Background>();
  readonly #foreground = new Set<Foreground>();
  /** Responses whose end is being written, and orphans that wait for a slot: unfinished rows that are looked after. */
  readonly #tended = new Set<number>();
  /** Responses whose row may be there already, and whose run begins when that is known. */
  readonly #starting = new Set<string>();
  /** Work that a stop has to wait for. */
  readonly #tasks = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  readonly #owner: Owner;
  /** Something may be queued: then nobody overtakes it. */
  #queued = true;
  /** Projects that have some waiting, and run as many as they may: the end of one of theirs lets another start. */
  #held: ReadonlySet<string> = new Set();
  /** Projects of which one has ended since the claim that is under way began. */
  readonly #endedMeanwhile = new Set<string>();
  /** Those that waited too long are being ended. */
  #endingOverdue = false;
  /** The claim that is under way; never rejects. */
  #claiming: Promise<void> | undefined;
  /** Nothing is claimed meanwhile: what was claimed a moment ago would look like nobody's. */
  #checking = false;

  constructor(deps: WorkerDeps, settings: WorkerSettings) {
    this.#deps = deps;
    this.#settings = settings;
    this.workerId = deps.ids.worker();
    this.#appender = new Appender({ ...deps, live: () => this.#runs.size });
    this.#slots = new Slots(settings.concurrency, deps.clock, () => {
      this.#claimQueued();
    });
    this.#owner = {
      workerId: this.workerId,
      crash: settings.crash,
      finishCancel: (orphan) => this.finishCancel(orphan, 'cancel'),
      close: (orphan, end) => this.#close(orphan, end),
      giveUp: (orphan) =>
        this.#close(orphan, (assembler) => {
          assembler.fail('rate_limit_exceeded', overdueMessage(deps.clock.now() - orphan.createdAt));
        }),
      resume: (orphan, resumption) => {
        this.#tended.add(orphan.no);
        this.#track(
          this.#resume(orphan, resumption).finally(() => this.#tended.delete(orphan.no)),
          orphan.id,
        );
      },
      leaveAlone: (orphan) => {
        this.#tended.add(orphan.no);
      },
      looksAfter: (no, id) => this.#runs.has(id) || this.#starting.has(id) || this.#tended.has(no),
    };
  }

  // ------------------------------------------------------------ the port

  get stopping(): boolean {
    return this.#stop.signal.aborted;
  }

  tryReserve(): Slot | undefined {
    return this.#queued || this.#stop.signal.aborted ? undefined : this.#slots.tryTake();
  }

  async reserve(ms: number, signal: AbortSignal, share: Share): Promise<Slot | undefined> {
    const stop = this.#stop.signal;
    if (stop.aborted) return undefined;
    try {
      return await this.#slots.take(ms, AbortSignal.any([signal, stop]), share);
    } catch (error) {
      if (stop.aborted && !signal.aborted) return undefined;
      throw error;
    }
  }

  start(spec: RunSpec, slot: Slot, begun: Fold, created: Promise<number>, begin: 'now' | 'created'): void {
    const tail = { n: 0, nextSequence: begun.nextSequence, epoch: 0 };
    const register = (): Background => this.#register({ ...spec, slot, begun, tail, waitedMs: 0 });
    const early = begin === 'now' ? register() : undefined;
    if (early === undefined) this.#starting.add(spec.id);
    created.then(
      (no) => {
        this.#starting.delete(spec.id);
        if (early === undefined && this.stopping) slot.release();
        else (early ?? register()).created(no);
      },
      () => {
        this.#starting.delete(spec.id);
        if (early === undefined) slot.release();
        else early.abort();
      },
    );
  }

  startForeground(spec: RunSpec, slot: Slot, commit: CommitEnd): ForegroundRun {
    const deps = { ...this.#deps, limits: this.#limitsOf(spec.response.model) };
    const run = new Foreground(deps, spec, slot, commit);
    this.#foreground.add(run);
    const forget = (): void => {
      this.#foreground.delete(run);
    };
    run.ended.then(forget, forget);
    return run;
  }

  abort(id: string): void {
    this.#runs.get(id)?.abort();
  }

  committed(projectId: string, id: string): Fold | undefined {
    const log = this.#runs.get(id)?.log;
    return log?.no === undefined || log.projectId !== projectId ? undefined : log.committed;
  }

  waitedMs(id: string): number | undefined {
    return this.#runs.get(id)?.waitedMs;
  }

  finishCancel(owned: OwnedResponse, purpose: CancelPurpose): Promise<void> {
    const closed = this.#close(
      owned,
      (assembler) => {
        assembler.cancel();
      },
      purpose === 'cancel',
    );
    this.#track(closed, owned.id);
    return closed;
  }

  /** What ran for a project that is not there any more. Its background runs are cancelled as others are. */
  abortForeground(projectId: string): void {
    for (const run of this.#foreground) if (run.projectId === projectId) run.abort(apiError('project_deleted'));
  }

  /** How many responses run here, and how many more could. */
  load(): { background: number; foreground: number; free: number } {
    return { background: this.#runs.size, foreground: this.#foreground.size, free: this.#slots.free };
  }

  wake(): void {
    this.#queued = true;
    this.#claimQueued();
  }

  /**
   * Tries again what failed, and ends what has waited too long. It asks for nothing when nothing is known to wait, since
   * a claim holds slots; a project that is known to may have been given more room.
   */
  tick(): void {
    if (this.#held.size > 0) this.#queued = true;
    this.#claimQueued();
    this.#endOverdue();
  }

  /** Somebody reads this response now: what lingers is due. */
  watched(id: string): void {
    const run = this.#runs.get(id);
    if (run !== undefined) this.#appender.hurry(run.log);
  }

  // ------------------------------------------------------------ life

  /**
   * Takes over what dead processes left, then claims what is queued. Resolves when every orphan has its fence and the
   * queue was looked into, so that a create that finds a free slot gets it.
   */
  async recover(): Promise<void> {
    await recoverOrphans(this.#deps, this.#owner);
    this.wake();
    await this.#claiming;
  }

  /** Once a lease period: looks for responses of this worker that nobody works on. */
  async checkSelf(): Promise<void> {
    if (this.#checking) return;
    this.#checking = true;
    let strays = 0;
    try {
      await this.#claiming;
      strays = await handBackStrays(this.#deps, this.#owner);
    } finally {
      this.#checking = false;
      this.#claimQueued();
    }
    if (strays > 0) await this.recover();
  }

  /** The first thing of a stop. */
  takeNoMore(): void {
    this.#stop.abort();
  }

  /** Takes no new work, lets running responses end for `drainMs`, aborts the rest. To be followed by `handBack`. */
  async stop(): Promise<void> {
    this.takeNoMore();
    const runs = [...this.#runs.values()];
    const ended = Promise.all([
      ...runs.map((run) => run.finished),
      ...[...this.#foreground].map((run) => run.ended.catch(() => undefined)),
    ]);
    const drained = new AbortController();
    await Promise.race([ended, waitMs(this.#deps.clock, this.#settings.drainMs, drained.signal)]);
    drained.abort();
    for (const run of this.#foreground) run.abort(apiError('shutting_down'));
    for (const run of this.#runs.values()) run.abort();
    this.#appender.giveUp();
    await this.#appender.idle();
    await this.#claiming;
    await Promise.all(this.#tasks);
  }

  /**
   * Gives back all that is left, whoever was about to run it; no try of it is counted. Once nobody can ask for anything
   * any more: a create that was under way has made its row by then.
   */
  async handBack(): Promise<void> {
    try {
      await handBackOwned(this.#deps.store, this.workerId, () => false);
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      this.#deps.log.error({ err: error }, 'what ran could not be handed back; the next start takes it over');
    }
  }

  // ------------------------------------------------------------ inside

  #register(spec: ConstructorParameters<typeof Background>[1]): Background {
    const limits = this.#limitsOf(spec.begun.response.model);
    const run = new Background({ ...this.#deps, ...this.#settings, limits, appender: this.#appender }, spec);
    this.#runs.set(spec.id, run);
    void run.finished.then(() => {
      if (this.#runs.get(spec.id) === run) this.#runs.delete(spec.id);
      this.#madeRoom(spec.projectId);
    });
    return run;
  }

  #limitsOf(model: string): RunLimits {
    return { ...this.#settings.limits, ...this.#deps.models.resolve(model)?.limits };
  }

  /** Failures are for whoever waits; here only the end matters. */
  #track(task: Promise<void>, id: string): void {
    const settled = task
      .catch((error: unknown) => {
        this.#deps.log.error({ err: error, response_id: id }, 'a task of the worker failed');
      })
      .finally(() => this.#tasks.delete(settled));
    this.#tasks.add(settled);
  }

  /** A project runs one less: another of it may have its turn. */
  #madeRoom(projectId: string): void {
    if (this.#claiming !== undefined) this.#endedMeanwhile.add(projectId);
    if (!this.#held.has(projectId)) return;
    this.#queued = true;
    this.#claimQueued();
  }

  #endOverdue(): void {
    const { maxWaitMs } = this.#settings;
    if (maxWaitMs === null || this.#endingOverdue) return;
    this.#endingOverdue = true;
    const ended = endOverdue(this.#deps, this.#owner, maxWaitMs, this.#stop.signal).finally(() => {
      this.#endingOverdue = false;
    });
    this.#track(ended, '');
  }

  /** Claims while there is something to claim and a slot for it. After a failure the next tick tries again. */
  #claimQueued(): void {
    if (this.#claiming !== undefined || this.#checking || this.stopping) return;
    if (!this.#queued || this.#slots.free === 0 || !this.#deps.store.accepts()) return;
    this.#claiming = this.#claim().then(
      () => {
        this.#claiming = undefined;
        this.#claimQueued();
      },
      (error: unknown) => {
        this.#claiming = undefined;
        this.#queued = true;
        this.#deps.log.error({ err: error }, 'claiming failed');
      },
    );
  }

  async #claim(): Promise<void> {
    const slots: Slot[] = [];
    while (slots.length < CLAIM_BATCH) {
      const slot = this.#slots.tryTake();
      if (slot === undefined) break;
      slots.push(slot);
    }
    const wanted = slots.length;
    this.#queued = false;
    this.#endedMeanwhile.clear();
    try {
      const { store, clock } = this.#deps;
      const { maxWaitMs } = this.#settings;
      const claimed = await store.claim(this.workerId, wanted, encodeInProgress(), clock.now(), maxWaitMs);
      this.#held = new Set(claimed.held);
      const missed = claimed.held.some((projectId) => this.#endedMeanwhile.has(projectId));
      if (claimed.responses.length === wanted || missed) this.#queued = true;
      for (const owned of claimed.responses) {
        const slot = slots.pop();
        if (slot !== undefined) await this.#runOwned(owned, slot);
      }
    } finally {
      for (const slot of slots) slot.release();
    }
  }

  async #runOwned(owned: OwnedResponse, slot: Slot, resumption?: Resumption): Promise<void> {
    const giveUp = async (message: string): Promise<void> => {
      slot.release();
      await this.#close(owned, (assembler) => {
        assembler.fail('server_error', message);
      });
    };
    const provider = this.#deps.models.provider(owned.provider);
    if (provider === undefined) {
      await giveUp(`The provider ${owned.provider} is no longer configured on this server.`);
      return;
    }
    if (owned.lost !== undefined) {
      await giveUp(LOST[owned.lost]);
      return;
    }
    try {
      const { id, projectId, tail } = owned;
      const { state: begun, damage } = await foldReadable(this.#deps.store, owned.no);
      // Who cancelled or deleted it meanwhile found nothing here to abort; whoever does from now on will.
      const row = await this.#deps.store.find(projectId, id, this.#deps.clock.now());
      if (row?.epoch !== tail.epoch || this.stopping) {
        slot.release();
        return;
      }
      if (damage !== undefined || !begun.started || begun.ended) {
        await giveUp(damagedFrom(begun.nextSequence));
        return;
      }
      const { inputItems } = owned.request;
      const turn = turnOf(this.#deps.seal, owned);
      const waitedMs = (owned.startedAt ?? owned.createdAt) - owned.createdAt;
      const spec = { id, projectId, inputItems, turn, provider, slot, begun, tail, waitedMs };
      const run = this.#register({ ...spec, ...(resumption !== undefined && { resumption }) });
      run.created(owned.no);
      this.#deps.hints.announce(id, {});
    } catch (error) {
      slot.release();
      if (!(error instanceof ApiError)) throw error;
      // What the request holds can't be read any more: its secret is no longer known.
      await giveUp(error.message);
    }
  }

  /** Waits for a slot however long it takes, since the response is ours already; a stop gives it back. */
  async #resume(orphan: OwnedResponse, resumption: Resumption): Promise<void> {
    try {
      let slot: Slot | undefined;
      const share = { projectId: orphan.projectId, weight: 1 };
      while (slot === undefined) slot = await this.#slots.take(60_000, this.#stop.signal, share);
      await this.#runOwned(orphan, slot, resumption);
    } catch (error) {
      if (this.stopping) return;
      this.#deps.log.error({ err: error, response_id: orphan.id }, 'a recovered response could not be started');
      await this.#deps.store.handBack(this.workerId, [orphan.no]).catch((cause: unknown) => {
        if (!(cause instanceof StoreUnavailable)) throw cause;
      });
    }
  }

  async #close(owned: OwnedResponse, end: (assembler: Assembler) => void, told = true): Promise<void> {
    this.#tended.add(owned.no);
    try {
      await closeLog({ ...this.#deps, ...this.#settings, signal: this.#stop.signal }, owned, end, told);
    } finally {
      this.#tended.delete(owned.no);
      this.#madeRoom(owned.projectId);
    }
  }
}

function turnOf(seal: Seal, owned: OwnedResponse): Turn {
  const { body, upstreamModel, inputItems } = owned.request;
  return {
    model: upstreamModel,
    instructions: body.instructions ?? null,
    items: openItems(seal, owned.projectId, [...owned.history, ...inputItems], 'input'),
    request: body,
    idempotencyKey: owned.id,
  };
}
