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

/** Whose turns the model counts, from where they were when its world began. */
export type Project = { id: string; weight: number; maxRunning: number; pass: number };

/** What the model knows of a response. */
export type Known = {
  id: string;
  project: Project;
  priority: number;
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

/** What waits of a project, the next one first. */
export function waitingOf(responses: readonly Known[], project: Project): Known[] {
  return responses
    .filter((known) => known.project === project && known.status === 'queued')
    .filter(({ owner, cancelling }) => owner === null && !cancelling)
    .toSorted((a, b) => b.priority - a.priority || a.no - b.no);
}

export function isFull(responses: readonly Known[], project: Project): boolean {
  const running = responses.filter((known) => known.project === project && known.status === 'in_progress');
  return running.length >= project.maxRunning;
}

/** Who is next, and where that turn is: the least pass, but none behind the last turn; of equals the older row. */
export function nextTurn(
  responses: readonly Known[],
  projects: readonly Project[],
  lastTurn: number,
): { known: Known; at: number } | undefined {
  return projects
    .filter((project) => !isFull(responses, project))
    .flatMap((project) => waitingOf(responses, project).slice(0, 1))
    .map((known) => ({ known, at: Math.max(known.project.pass, lastTurn) }))
    .toSorted((a, b) => a.at - b.at || a.known.no - b.known.no)[0];
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
