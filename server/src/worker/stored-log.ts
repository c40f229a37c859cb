import type { Chunk } from '../domain/chunk.ts';
import { encodeEvents } from '../domain/chunk-codec.ts';
import { Fold } from '../domain/fold.ts';
import type { Append, End, Tail } from '../domain/ports.ts';
import type { ResponseEvent } from '../protocol/events.ts';
import type { Response } from '../protocol/response.ts';

/**
 * The writing end of one response's log: what waits, what is under way, what is committed. At most one chunk is
 * unacknowledged. The appender moves it.
 */

export type StoredLogEvents = {
  /** The response has ended and that is durable. */
  ended(): void;
  /** Somebody else owns the response now: stop its upstream, drop it. */
  fenced(): void;
};

export class StoredLog {
  readonly id: string;
  readonly projectId: string;
  /** The state that is durable, which is all that anybody may see. */
  readonly committed: Fold;
  readonly events: StoredLogEvents;
  /** Undefined until the row's creation is durable. */
  no: number | undefined;
  pending: ResponseEvent[] = [];
  /** Characters that wait or are under way: what an upstream is paused for. */
  unacknowledged = 0;
  dropped = false;
  /** Deltas so far; the first few are due at once. */
  deltas = 0;
  /** Seconds of Metrics.now, when the first output was read; until a reader could have it. */
  firstOutputAt: number | undefined;
  readonly #live: Fold;
  readonly #endOf: (response: Response) => End;
  #tail: Tail;
  #sealed: { chunk: Chunk; events: readonly ResponseEvent[]; size: number } | undefined;
  #pendingSize = 0;
  #onDrained: (() => void)[] = [];

  /**
   * @param live the assembler's fold, always ahead of `committed`: the dictionary of what is sealed
   * @param endOf what to write into the row with the closing chunk
   */
  constructor(
    identity: { id: string; projectId: string },
    live: Fold,
    committed: Fold,
    tail: Tail,
    endOf: (response: Response) => End,
    events: StoredLogEvents,
  ) {
    this.id = identity.id;
    this.projectId = identity.projectId;
    this.#live = live;
    this.committed = committed;
    this.#tail = tail;
    this.#endOf = endOf;
    this.events = events;
  }

  push(events: readonly ResponseEvent[]): void {
    for (const event of events) {
      this.pending.push(event);
      if ('delta' in event) {
        this.deltas += 1;
        this.#pendingSize += event.delta.length;
        this.unacknowledged += event.delta.length;
      }
    }
  }

  /** Makes a chunk of all that waits. To be followed by `acknowledge` or `drop` before the next one. */
  seal(no: number): Append {
    const events = this.pending;
    this.pending = [];
    const closed = this.#live.ended;
    const chunk: Chunk = {
      n: this.#tail.n + 1,
      firstSequence: this.#tail.nextSequence,
      count: events.length,
      epoch: this.#tail.epoch,
      closed,
      body: encodeEvents(events, this.#live.response),
    };
    this.#sealed = { chunk, events, size: this.#pendingSize };
    this.#pendingSize = 0;
    return closed ? { no, chunk, end: this.#endOf(this.#live.response) } : { no, chunk };
  }

  /** The sealed chunk is durable. Returns its events. */
  acknowledge(): readonly ResponseEvent[] {
    const sealed = this.#sealed;
    if (sealed === undefined) return [];
    this.#sealed = undefined;
    this.#tail = {
      ...this.#tail,
      n: sealed.chunk.n,
      nextSequence: this.#tail.nextSequence + sealed.chunk.count,
    };
    this.unacknowledged -= sealed.size;
    for (const event of sealed.events) this.committed.apply(event);
    const waiting = this.#onDrained;
    this.#onDrained = [];
    for (const resume of waiting) resume();
    return sealed.events;
  }

  /** Forgets what was not handed to the store yet. */
  drop(): void {
    this.dropped = true;
    this.pending = [];
    const waiting = this.#onDrained;
    this.#onDrained = [];
    for (const resume of waiting) resume();
  }

  /** Resolves at the next acknowledgement, or when the log is dropped. */
  drained(): Promise<void> {
    if (this.dropped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrained.push(resolve);
    });
  }
}
