import type { Assembler } from '../../server/src/domain/assembler.ts';
import type { Fold } from '../../server/src/domain/fold.ts';
import type { Append } from '../../server/src/domain/ports.ts';
import { isEnded } from '../../server/src/domain/status.ts';
import type { ResponseEvent } from '../../server/src/protocol/events.ts';
import type { Response } from '../../server/src/protocol/response.ts';

/** The log and lease protocol as a model (design.md §1, §5-§8): what a store has to have kept. */

export const LOG_MS = 600_000;
export const LEASE_MS = 15_000;
export const DAY_MS = 86_400_000;
/** More than half of what a compacted chunk holds. */
export const LARGE = 'x'.repeat(9_000);

/** What the model knows of a response. */
export type Known = {
  id: string;
  no: number;
  status: Response['status'];
  owner: string | null;
  epoch: number;
  attempt: number;
  cancelling: boolean;
  /** Events as JSON, in their order: what every reader must get, byte for byte. */
  log: string[];
  /** The fold of the log: what its references resolve against. */
  fold: Fold;
  tail: { n: number; closed: boolean };
  compacted: boolean;
  snapshot: string | null;
  expiresAt: number;
  logExpiresAt: number | null;
  logGone: boolean;
  deletedAt: number | null;
  purged: boolean;
};

/** What an owner knows; the fold and the assembler are its own, as in a worker. */
export type View = {
  worker: string;
  known: Known;
  n: number;
  epoch: number;
  fold: Fold;
  assembler: Assembler;
  mustCancel: boolean;
  /** It was refused: a worker drops its run then. */
  dead: boolean;
  last: { append: Append; accepted: boolean } | undefined;
  said: number;
};

export function hasLog(known: Known): boolean {
  return !known.logGone && !known.purged;
}

export function isOrphan({ status, owner, cancelling }: Known, worker: string): boolean {
  if (isEnded(status)) return false;
  return owner === null ? status === 'in_progress' || cancelling : owner !== worker;
}

export function fence(known: Known, worker: string): void {
  known.owner = worker;
  known.epoch += 1;
  known.tail.n += 1;
}

export function write(known: Known, events: readonly ResponseEvent[]): void {
  for (const event of events) {
    known.fold.apply(event);
    known.log.push(JSON.stringify(event));
  }
}

/** What a claim writes. */
export function inProgress(response: Response, sequence: number): ResponseEvent {
  return {
    type: 'response.in_progress',
    sequence_number: sequence,
    response: { ...response, status: 'in_progress', output: [] },
  };
}
