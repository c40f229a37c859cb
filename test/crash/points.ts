import { readSync, writeSync } from 'node:fs';
import type { Append, Store } from '../../server/src/domain/ports.ts';

/**
 * The points at which a server can be stopped, named. A point of the store's client is on the event loop: before a
 * verb is sent, a few ms after it was sent, or when its answer is there and nobody else knows. A point of the store
 * thread is between two statements. A later issue adds a line, and the torture goes there.
 */

export type Point = {
  name: string;
  /** A server comes by so often in a second or two that any of the first `most` times can be chosen. */
  most: number;
  /** When it is reached: while clients are served (the usual), before the server serves, or after SIGTERM. */
  phase?: 'boot' | 'stop';
  /** Only the first server on the directory of an older Holt comes by. */
  old?: true;
} & (
  | {
      at: 'before' | 'during' | 'after';
      verb: keyof Store;
      /** Whether this call counts. `result` is undefined before there is one. */
      when?: (args: readonly unknown[], result: unknown) => boolean;
    }
  | {
      /** `statement`: before each that matches; `commit`: before the commit of a transaction with one that matches each. */
      at: 'statement' | 'commit';
      sql: readonly RegExp[];
    }
);

const ends = ([appends]: readonly unknown[]): boolean => (appends as Append[]).some(({ end }) => end !== undefined);
const goesOn = (args: readonly unknown[]): boolean => !ends(args);
const many = (_: readonly unknown[], result: unknown): boolean =>
  (result as { responses: unknown[] }).responses.length > 0;
const some = (_: readonly unknown[], result: unknown): boolean => Number(result) > 0;
const outcome =
  (wanted: string) =>
  (_: readonly unknown[], result: unknown): boolean =>
    (result as { outcome: string }).outcome === wanted;

const CREATE = /^insert into response \(id, project_id, status, worker_id/;
const APPEND = /^insert into chunk [^?]*select/;
const END = /^update response set status = \?, snapshot/;
const FENCE = /set cancel_requested_at = \?/;
const TAKE_OVER = /^update response set attempt = attempt \+ 1 where/;
const CLAIM = /set status = 'in_progress', worker_id/;
const MERGE = /^delete from chunk where response_no = \? and n between/;
const COMPACTED = /set log_state = 2/;
const DELETE = /^select no, status, expires_at from response/;
const SWEEP = /^select no from response where deleted_at is null and expires_at/;
const BURY = /^update chunk set body = x''/;
const PURGE = /^delete from response where no = \?/;
const FORGET_LOG = /set log_state = 3 where/;
const HAND_BACK = /set worker_id = null, attempt = max/;
const TURN = /insert into conversation_item/;
const MIGRATION = /^(create (?!table filling)|alter|delete from response_item|insert or ignore|pragma user_version =)/;

export const POINTS: readonly Point[] = [
  { name: 'create: before it is sent', at: 'before', verb: 'create', most: 8 },
  { name: 'create: before its commit', at: 'commit', sql: [CREATE], most: 8 },
  { name: 'create: after its commit, before its answer', at: 'after', verb: 'create', most: 8 },
  { name: 'foreground: before its commit', at: 'before', verb: 'createEnded', most: 1 },
  { name: 'foreground: after its commit, before its answer', at: 'after', verb: 'createEnded', most: 1 },
  { name: 'append: before its commit', at: 'commit', sql: [APPEND], most: 60 },
  { name: 'append: after its commit, before the hint', at: 'after', verb: 'append', when: goesOn, most: 60 },
  { name: 'end: before it is sent', at: 'before', verb: 'append', when: ends, most: 5 },
  { name: 'end: between its statements', at: 'statement', sql: [END], most: 5 },
  { name: 'end: before its commit', at: 'commit', sql: [END], most: 5 },
  { name: 'end: after its commit, before the hint', at: 'after', verb: 'append', when: ends, most: 5 },
  { name: 'turn of a conversation: before its commit', at: 'commit', sql: [TURN], most: 2 },
  { name: 'cancel: before the commit of the fence', at: 'commit', sql: [FENCE], most: 2 },
  {
    name: 'cancel: between its two appends',
    at: 'after',
    verb: 'fenceForCancel',
    when: outcome('fenced'),
    most: 2,
  },
  { name: 'delete: before its commit', at: 'commit', sql: [DELETE, BURY], most: 2 },
  {
    name: 'delete: after its commit, before its answer',
    at: 'after',
    verb: 'delete',
    when: (_, result) => result === 'deleted',
    most: 2,
  },
  { name: 'claim: before its commit', at: 'commit', sql: [CLAIM], most: 2 },
  { name: 'claim: after its commit, before a run', at: 'after', verb: 'claim', when: many, most: 2 },
  { name: 'takeover: before the commit of the fence', at: 'commit', sql: [TAKE_OVER], most: 3, phase: 'boot' },
  {
    name: 'takeover: after the fence, before the policy',
    at: 'after',
    verb: 'takeOver',
    when: (_, result) => result !== undefined,
    most: 3,
    phase: 'boot',
  },
  { name: 'compaction: while it runs', at: 'during', verb: 'compact', most: 3 },
  { name: 'compaction: between delete and insert', at: 'statement', sql: [COMPACTED], most: 3 },
  { name: 'compaction: before its commit', at: 'commit', sql: [MERGE], most: 2 },
  { name: 'compaction: after its commit', at: 'after', verb: 'compact', when: some, most: 2 },
  { name: 'sweep: while it runs', at: 'during', verb: 'sweep', most: 3 },
  { name: 'sweep: expired responses emptied, not committed', at: 'commit', sql: [SWEEP, BURY], most: 1, old: true },
  { name: 'sweep: logs dropped, not committed', at: 'commit', sql: [FORGET_LOG], most: 1, old: true },
  { name: 'sweep: tombstones purged, not committed', at: 'commit', sql: [PURGE], most: 1, old: true },
  { name: 'sweep: after its commit', at: 'after', verb: 'sweep', most: 2 },
  { name: 'hand back: before its commit', at: 'commit', sql: [HAND_BACK], most: 1, phase: 'stop' },
  { name: 'hand back: after its commit', at: 'after', verb: 'handBack', most: 1, phase: 'stop' },
  { name: 'migration: between two statements', at: 'statement', sql: [MIGRATION], most: 16, phase: 'boot', old: true },
];

/** One stop of one process: the `nth` time it comes by that point. */
export type Stop = {
  point: string;
  nth: number;
  signal: 'SIGKILL' | 'SIGSTOP' | 'SIGTERM';
  /** In the store thread: how long the others go on before, as if the disk was slow, ms. */
  lingerMs: number;
};

export function pointOf(name: string): Point {
  const found = POINTS.find((point) => point.name === name);
  if (found === undefined) throw new RangeError(`there is no point ${name}`);
  return found;
}

/** What a killable server writes on its report channel, a line each. */
export type Report = { at: string; signal: Stop['signal'] };

/** File descriptors of the report channel, a pipe so that what was written outlives the process, and of the answers. */
export const REPORTS = 3;
export const ANSWERS = 4;

/** Counts how often a process comes by the points it shall stop at, and stops it there. For one thread. */
export class Stopper {
  readonly #stops: (Stop & { left: number })[];

  /** @param plan JSON of a list of stops */
  constructor(plan: string) {
    this.#stops = (JSON.parse(plan) as Stop[]).map((stop) => ({ ...stop, left: stop.nth }));
  }

  /** The points that matter here. */
  points<T extends Point['at']>(...at: T[]): (Point & { at: T })[] {
    return this.#stops
      .map(({ point }) => pointOf(point))
      .filter((point): point is Point & { at: T } => (at as string[]).includes(point.at));
  }

  comesBy({ name }: Point): void {
    for (const stop of this.#stops) {
      if (stop.point !== name) continue;
      stop.left -= 1;
      if (stop.left === 0) here(stop);
    }
  }
}

function here({ point, signal, lingerMs }: Stop): void {
  if (lingerMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lingerMs);
  writeSync(REPORTS, `${JSON.stringify({ at: point, signal } satisfies Report)}\n`);
  // Who is to sleep is put to sleep from outside: by then nothing of it has gone on.
  if (signal === 'SIGSTOP') readSync(ANSWERS, Buffer.alloc(1));
  else process.kill(process.pid, signal);
}
