import type { StoredResponse } from '../domain/ports.ts';
import type { ResponsesDeps } from './deps.ts';

/** Where a background response is in the queue, and how long it waited there: told by headers. */
export type QueuePlace = {
  /** From 1, among those of its project that wait; at most `MOST_POSITION`. */
  position?: number | undefined;
  /** So far, or until it started. */
  waitedMs?: number | undefined;
};

/** A poll counts no more rows than this. */
export const MOST_POSITION = 10_000;

/** What has a slot, or has ended, costs no further look. */
export async function placeOf(deps: Pick<ResponsesDeps, 'store' | 'clock'>, row: StoredResponse): Promise<QueuePlace> {
  if (!row.background) return {};
  if (row.startedAt !== null) return { waitedMs: row.startedAt - row.createdAt };
  if (row.status !== 'queued') return {}; // it ended in the queue
  const position = await deps.store.queuePosition(row.no, MOST_POSITION);
  return { position, waitedMs: deps.clock.now() - row.createdAt };
}

/**
 * By what a request says: before those of its project that say nothing of it, with them, or after them. Other tiers
 * are the upstream's business.
 */
export function priorityOf(serviceTier: string | null | undefined): number {
  if (serviceTier === 'priority') return 1;
  return serviceTier === 'flex' ? -1 : 0;
}
