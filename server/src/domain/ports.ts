import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { ResponseEvent } from '../protocol/events.ts';
import type { InputItem } from '../protocol/items.ts';
import type { InputItemResource, Model } from '../protocol/list.ts';
import type { Response } from '../protocol/response.ts';
import type { Fold } from './fold.ts';
import type { Chunk, ChunkPage } from './chunk.ts';
import type { AuditEntry } from './audit.ts';
import type { Limits, TokenCounts, UnfinishedBound } from './limits.ts';
import type { ProjectStore } from './project-store.ts';
import type { ConversationPlace, Item, StateStore } from './state-store.ts';
import type { EndStatus } from './status.ts';
import type { Unserved } from './unserved.ts';
import type { UpstreamEvent } from './upstream-event.ts';
import type { UsageStore } from './usage-store.ts';
import type { WebhookStore } from './webhook-store.ts';

/** Wall time and timers, so that tests own them. */
export interface Clock {
  /** Milliseconds since the epoch: the wall at start plus monotonic time, so a clock that is set expires nothing early. */
  now(): number;
  /** Calls `run` once after `ms`, which are fewer than 2^31. The timer keeps no process alive. */
  timer(ms: number, run: () => void): Timer;
}
export interface Timer {
  /** Starts the time over. */
  refresh(): void;
  cancel(): void;
}

export interface Ids {
  /** `resp_` + 12 hex of `createdAt` (ms) + `00` + 36 hex random: ids sort by time (design.md §5). */
  response(createdAt: number): string;
  /** `<prefix>_` + 48 hex random. */
  item(prefix: 'msg' | 'fc' | 'ctc' | 'rs' | 'call' | 'conv' | 'cmp' | 'evt' | 'whe' | 'proj' | 'key'): string;
  request(): string;
  worker(): string;
  /** What webhooks are signed with: `whsec_` + base64 of 32 random bytes. */
  webhookSecret(): string;
  /** What clients of a project authenticate with: `sk-holt-` + base64url of 32 random bytes. */
  apiKey(): string;
}

/** In [0, 1), for jitter. */
export type Random = () => number;

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

// ---------------------------------------------------------------- providers

/** A complete, validated turn: what a provider needs to know to run it once. */
export type Turn = {
  /** The upstream's own name of the model. */
  model: string;
  instructions: string | null;
  items: InputItem[];
  request: CreateResponseBody;
  /** Sent upstream as Idempotency-Key: stable over the retries of one turn. Begins with the id of the response. */
  idempotencyKey: string;
};

/** How far the log has come with a run that is the upstream's own background response. */
export type UpstreamPlace = {
  /** The upstream's id of it. */
  ref: string;
  /** The upstream's number of the last event that is in the log; null when there is none. */
  cursor: number | null;
};

/** An adapter to an upstream API. It knows neither ids nor numbers of ours. */
export interface Provider {
  readonly name: string;
  /** What of a request this provider can't honour, and a lenient model may go without. Called before `check`. */
  unserved(request: CreateResponseBody): Unserved[];
  /**
   * Throws a row of the error table for what this provider can't honour (promise 8). Called before anything exists.
   * @param items the request's own, so that a place among them names a place of its input
   * @param history what came before them
   */
  check(request: CreateResponseBody, items: readonly InputItem[], history: readonly InputItem[]): void;
  /**
   * Runs the turn once. Yields what came in together as one batch. Ends after a `finish` or an `error` event, or in
   * silence when `signal` aborts, which closes the upstream socket; never throws for what an upstream does.
   */
  run(turn: Turn, signal: AbortSignal): AsyncIterable<readonly UpstreamEvent[]>;
  /**
   * Goes on with a run of the upstream's own that outlived the process that began it (design.md §8, policy 1). As
   * `run`, but yields only what follows `place`. Absent when the upstream keeps no runs.
   */
  reattach?(turn: Turn, place: UpstreamPlace, signal: AbortSignal): AsyncIterable<readonly UpstreamEvent[]>;
  /**
   * Goes on after exactly `prefix`, the text of an answer that is cut off there (design.md §8, policy 2). As `run`,
   * but yields only what follows it. Absent when the upstream would begin anew.
   */
  continueFrom?(turn: Turn, prefix: string, signal: AbortSignal): AsyncIterable<readonly UpstreamEvent[]>;
  /** The upstream's models, empty when it can't say. Bounded by `signal`. */
  models(signal: AbortSignal): Promise<Model[]>;
  close(): Promise<void>;
}

/** What a client's model name is bound to. */
export type ModelBinding = {
  provider: Provider;
  upstreamModel: string;
  compat: Compat;
  /** Where the model differs from what holds for all. */
  limits: Partial<RunLimits>;
  /** The name that the configuration has for it: `*` stands for many. */
  entry: string;
  /** What all who ask it may use together. */
  allowance: Limits;
};

/** What one run may take: bytes of output, and ms from its start over all its tries, null for as long as it likes. */
export type RunLimits = { outputBytes: number; runTimeMs: number | null };

/** Whether what a model can do without is refused when it can't be served, or left out and named. */
export type Compat = 'strict' | 'lenient';

export interface Models {
  resolve(name: string): ModelBinding | undefined;
  /** The provider of a stored response; undefined when it is no longer configured. */
  provider(name: string): Provider | undefined;
  list(signal: AbortSignal): Promise<Model[]>;
}

/** Counts what a text costs a model, as well as can be known. */
export interface Tokenizer {
  /** @param model the upstream's own name of it. Rejects when `signal` aborts. */
  count(text: string, model: string, signal: AbortSignal): Promise<number>;
}

// ---------------------------------------------------------------- store

/** What the store keeps of a request: enough to run it again and to list its input. */
export type StoredRequest = {
  body: CreateResponseBody;
  upstreamModel: string;
  inputItems: InputItemResource[];
};

export type NewResponse = {
  id: string;
  projectId: string;
  model: string;
  provider: string;
  stream: boolean;
  request: StoredRequest;
  /** ms */
  createdAt: number;
  expiresAt: number;
  /** Whatever it says is sealed with a key of its own, which is destroyed when it is forgotten. */
  zeroRetention?: boolean;
  previousResponseId: string | null;
  /** The conversation as it was read for this response. */
  conversation: ConversationPlace | null;
  /** Before others of its project in the queue: the higher, the earlier. Absent: 0. */
  priority?: number;
  /** What comes before `request.inputItems`; kept until the end, so that a run needs nobody else's rows. */
  history: Item[];
  /** The worker that has a slot for it, or null: then it waits in the queue. */
  workerId: string | null;
  chunk: Chunk;
  idempotency?: Idempotency;
  /** The key it was asked for with, if that is a project's. */
  keyId?: string | null;
  /** Under which entry of the configuration its usage counts; its model when it is left out. */
  modelEntry?: string;
  /** Not more than that, itself included. */
  bounds?: readonly UnfinishedBound[];
};

/** What a client may create again with, and get the same response. */
export type Idempotency = {
  /** The client's own word, unique in its project. */
  key: string;
  /** SHA-256 of the request body, 64 hex digits. */
  bodyHash: string;
  /** From when on it is forgotten, ms. */
  expiresAt: number;
};

/** A row as the verbs see it. `request` is read apart, since polls don't need it. */
export type StoredResponse = {
  no: number;
  id: string;
  projectId: string;
  status: Response['status'];
  workerId: string | null;
  epoch: number;
  /** Claims so far; bounded by `recovery.max_attempts`. */
  attempt: number;
  model: string;
  provider: string;
  background: boolean;
  stream: boolean;
  /** JSON of the final Response, UTF-8; null while it runs. */
  snapshot: Uint8Array | null;
  createdAt: number;
  /** When it got its first slot; null while it has had none. */
  startedAt: number | null;
  expiresAt: number;
  logExpiresAt: number | null;
  cancelRequestedAt: number | null;
};

/** The place where an owner appends next. */
export type Tail = { n: number; nextSequence: number; epoch: number };
/** A response somebody has just become the owner of. */
export type OwnedResponse = StoredResponse & {
  request: StoredRequest;
  history: Item[];
  tail: Tail;
  /** Absent when its run is not the upstream's own, or its store keeps no such places. */
  upstream?: UpstreamPlace;
  /**
   * What can't be read any more: with the `key` all that was said so far, or the `request` alone, which is damaged. Then
   * `request` is empty.
   */
  lost?: 'key' | 'request';
};

/** What ends a response, written in the transaction of its closing chunk. Times in ms. */
export type End = {
  status: EndStatus;
  snapshot: Uint8Array;
  doneAt: number;
  logExpiresAt: number;
  /** From when on it is gone, if it is under zero data retention; for others that was said at their creation. */
  zdrExpiresAt?: number;
  /** Under which its items can be referred to. */
  outputIds: string[];
  /** What is added to its conversation: input and output, or nothing when it failed or was cancelled. */
  turn: Item[];
  /** Nothing when it is left out. It counts for the day of `doneAt`. */
  usage?: TokenCounts;
  /** Of the event that webhooks tell; null when its end is nobody's business, as it is to be deleted. */
  eventId: string | null;
};
export type Append = { no: number; chunk: Chunk; end?: End };

/** A store as it is now. */
export type Measured = {
  /** Responses that wait for a slot. */
  queued: number;
  databaseBytes: number;
  /** Of what is durable, but not in the database yet. */
  logBytes: number;
};

export type SweepResult = { expired: number; logs: number; purged: number; keys: number };

/**
 * Record, queue and log in one (design.md §5-§9). Every verb is one transaction and is acknowledged when it is
 * durable; a verb that throws `StoreUnavailable` may or may not have happened. An append is a compare-and-swap on `n`.
 */
export interface Store extends StateStore, WebhookStore, ProjectStore, UsageStore {
  /**
   * The row, its idempotency key and chunk 0, all or none; any other outcome leaves nothing. `queueMax` counts only for
   * an unowned row, against those of its project that wait; `position` is its place behind them, from 1.
   * `must_wait`: an owned row of a project that runs as many as it may, or has others waiting for that: to be made
   * again without an owner.
   * `conversation_locked`: an unfinished response holds it, or it is not as it was read any more.
   * `conversation_absent`: it was deleted since. `project_absent`: its project was. `too_many_unfinished`: a bound has
   * been reached. `key_taken`, before all others but `project_absent`: its idempotency key leads to another response,
   * which is durable.
   */
  create(
    response: NewResponse,
    queueMax: number,
  ): Promise<
    | { outcome: 'created'; no: number; position?: number }
    | {
        outcome:
          | 'key_taken'
          | 'must_wait'
          | 'queue_full'
          | 'conversation_locked'
          | 'conversation_absent'
          | 'project_absent';
      }
    | { outcome: 'too_many_unfinished'; bound: UnfinishedBound }
  >;
  /**
   * The response that was created with an idempotency key, and the hash of the body it was created with. Undefined when
   * there is none, when the key is past its `expiresAt` at `now`, or when the response would not be found.
   */
  findByKey(
    projectId: string,
    key: string,
    now: number,
  ): Promise<{ bodyHash: string; response: StoredResponse } | undefined>;
  /**
   * A foreground response, which has no log: row, input and snapshot, once it has ended. Of a deleted project nothing
   * is stored.
   */
  createEnded(
    response: Omit<NewResponse, 'chunk' | 'workerId' | 'history'>,
    end: Omit<End, 'logExpiresAt' | 'eventId'>,
  ): Promise<void>;
  /** Undefined for an id that is unknown, another project's, deleted or past `expiresAt` at `now`. */
  find(projectId: string, id: string, now: number): Promise<StoredResponse | undefined>;
  /**
   * Up to `limit` queued rows whose cancel nobody asked for, in their turn, each with a chunk of `body` that holds
   * `response.in_progress`. The next turn is that of the project with the smallest pass, of those that are not deleted
   * and run fewer than their `maxRunning`; it is given to the row with the highest priority, then to the oldest, and
   * raises the pass by 1/weight. A pass is never behind that of the last turn: who did not wait has saved nothing.
   * @param maxWaitMs what has waited so long is not claimed; null: however long
   */
  claim(
    workerId: string,
    limit: number,
    body: Uint8Array,
    now: number,
    maxWaitMs?: number | null,
  ): Promise<{
    responses: OwnedResponse[];
    /** Projects that have others waiting, and run as many as they may. */
    held: string[];
  }>;
  /** The place of a queued row among those of its project, from 1, at most `most`; undefined when it does not wait. */
  queuePosition(no: number, most: number): Promise<number | undefined>;
  /** Fences up to `limit` queued rows made at `createdUntil` or before, oldest first, and makes `workerId` their owner. */
  takeOverdue(workerId: string, createdUntil: number, limit: number): Promise<OwnedResponse[]>;
  /**
   * In the order given, which is sorted by `no`. False means fenced: drop the response. The same append sent again
   * after an ambiguous commit is true.
   */
  append(appends: readonly Append[]): Promise<boolean[]>;
  /** Whole chunks that hold events after `after`, at least one if there is any, about `maxBytes` of bodies. */
  read(no: number, after: number, maxBytes: number): Promise<ChunkPage>;
  /** First half of a cancel (design.md §6.7): the fence, the mark, the new owner; and `audit`, if it was fenced. */
  fenceForCancel(
    projectId: string,
    id: string,
    workerId: string,
    now: number,
    audit?: AuditEntry,
  ): Promise<{ outcome: 'fenced'; response: OwnedResponse } | { outcome: 'pending' | 'ended' | 'absent' }>;
  /**
   * Unfinished rows that no live worker owns, oldest first, after row number `afterNo`. What is queued waits, and is
   * none of them, unless its cancel was asked for.
   */
  listOrphans(liveWorkerId: string, afterNo: number, limit: number): Promise<{ no: number; id: string }[]>;
  /** Fences an orphan, counts the attempt and makes `workerId` its owner. Undefined when it has ended meanwhile. */
  takeOver(no: number, workerId: string): Promise<OwnedResponse | undefined>;
  /** Unfinished rows of a worker, oldest first, after row number `afterNo`: what it should be working on. */
  listOwned(workerId: string, afterNo: number, limit: number): Promise<{ no: number; id: string }[]>;
  /** Gives unfinished rows back: no owner, status kept, the attempt not counted. */
  handBack(workerId: string, nos: readonly number[]): Promise<void>;
  /**
   * Empties an ended response, hides it and frees its idempotency key; `unfinished` when it has not ended, unless it
   * is to be `forced`: then its log is closed where it stands, whatever is in it, so that nothing that its owner still appends is accepted.
   */
  delete(
    projectId: string,
    id: string,
    now: number,
    unfinished?: 'forced',
  ): Promise<'deleted' | 'unfinished' | 'absent'>;
  /** Merges the chunks of up to `limit` ended logs. Returns how many it did. */
  compact(limit: number): Promise<number>;
  /**
   * Forgets up to `limit` rows of each kind: responses past `expiresAt`, logs past `logExpiresAt`, tombstones
   * deleted before `purgeBefore` (ms), and idempotency keys past their `expiresAt`. With a response its key goes, too.
   */
  sweep(now: number, purgeBefore: number, limit: number): Promise<SweepResult>;
  /**
   * Whether new work would be taken, as far as is known: false from a write that failed, or a disk that was full, until
   * a write has shown that it is over. What runs may go on meanwhile.
   */
  accepts(): boolean;
  /** Resolves when a write is durable and there is room for new work. What was given up for want of room is made again. */
  probe(): Promise<void>;
  measure(): Promise<Measured>;
  close(): Promise<void>;
}

/** The store can't answer now; whether the verb happened is not known. */
export class StoreUnavailable extends Error {}
/** The store was closed or its thread has died: nothing will be accepted any more. */
export class StoreClosed extends StoreUnavailable {}
/** What this verb has to read is damaged: to ask again gives the same. Others are served. */
export class StoreDamaged extends StoreUnavailable {}

// ---------------------------------------------------------------- hints

/**
 * What a hint says: a chunk up to `n` is committed. In the owner's process it carries the chunk's events, to be used
 * by a reader for whom they are the next ones; otherwise the reader looks into the log.
 */
export type Hint = {
  events?: readonly ResponseEvent[];
  firstSequence?: number;
  /** Deleted. */
  gone?: boolean;
  /** About to be deleted: its end is only the first half of that. */
  leaving?: boolean;
};

/** A latch: what was announced since the last `next` is not lost. It holds at most one hint, the newest. */
export interface Subscription {
  /**
   * The newest hint since the last call, as soon as there is one; undefined when it is time to look into the log
   * anyway. Rejects when the signal of the subscription aborts. One caller at a time.
   */
  next(): Promise<Hint | undefined>;
  close(): void;
}

/** Wake-ups between writer and readers. They may be lost: the log is the truth. */
export interface Hints {
  /**
   * @param recheckMs the longest wait for a hint, since hints may be lost
   * @param interest who only waits for the end does not count as a reader
   */
  subscribe(id: string, recheckMs: number, signal: AbortSignal, interest?: 'events' | 'end'): Subscription;
  announce(id: string, hint: Hint): void;
  /** Whether anybody reads `id`: decides how long its text may wait for company in a commit. */
  watched(id: string): boolean;
}

// ---------------------------------------------------------------- runs

/** The place of a response among those that run at once. */
export type Slot = { release(): void };

export type RunSpec = {
  id: string;
  projectId: string;
  /** The snapshot of `response.created`. */
  response: Response;
  /** Whether the client asked for a stream. */
  stream: boolean;
  /** The request's own, without what came before. */
  inputItems: readonly Item[];
  turn: Turn;
  provider: Provider;
};

/** Who deletes a response wants nobody to be told that it was cancelled for that. */
export type CancelPurpose = 'cancel' | 'delete';

/** What runs in this process. */
export interface Runs {
  readonly workerId: string;
  /** No new work is taken. */
  readonly stopping: boolean;
  /** A free slot, unless something is queued before. */
  tryReserve(): Slot | undefined;
  /**
   * A slot within `ms`, or undefined, as when the worker stops meanwhile. Rejects when `signal` aborts.
   * @param share whose turn it is, against those of other projects that wait here
   */
  reserve(ms: number, signal: AbortSignal, share: { projectId: string; weight: number }): Promise<Slot | undefined>;
  /**
   * Starts a background response. `begun` holds the events of chunk 0; what follows is appended once `created` has
   * given the row's number. When that rejects, nothing is left of the run, and the slot is free again.
   * @param begin `now`: the upstream is asked in this tick; `created`: not before the row is there
   */
  start(spec: RunSpec, slot: Slot, begun: Fold, created: Promise<number>, begin: 'now' | 'created'): void;
  /** Starts a foreground response over a log in memory. `commit` stores it before its end is shown. */
  startForeground(spec: RunSpec, slot: Slot, commit: CommitEnd): ForegroundRun;
  /** Stops the upstream and drops what was not handed to the store yet. */
  abort(id: string): void;
  /** The committed state of a response that runs here. */
  committed(projectId: string, id: string): Fold | undefined;
  /** How long a response that runs here waited for its slot, ms. */
  waitedMs(id: string): number | undefined;
  /** Second half of a cancel: retried until it commits, whoever waits for it. Resolves when the response has ended. */
  finishCancel(response: OwnedResponse, purpose: CancelPurpose): Promise<void>;
  /** Something was queued. */
  wake(): void;
}

/** Called with the final Response before the terminal event is shown. */
export type CommitEnd = (response: Response, status: EndStatus) => Promise<void>;

export interface ForegroundRun {
  /**
   * Resolves when the upstream has begun to answer, or after `ms`: from then on a failure is told by the stream.
   * Rejects with a row of the error table when the upstream refused before.
   */
  accepted(ms: number): Promise<void>;
  /** Resolves with the final Response; rejects as `accepted` does. */
  readonly ended: Promise<Response>;
  /** The events, once, for one reader. Throws when the end could not be stored. */
  events(): AsyncIterable<readonly ResponseEvent[]>;
  abort(): void;
}
