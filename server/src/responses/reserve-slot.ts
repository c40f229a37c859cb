import { apiError } from '../domain/errors.ts';
import type { Slot } from '../domain/ports.ts';
import type { ResponsesDeps } from './deps.ts';

/** A queue that is full stays so for a while; the official clients wait at most a minute. */
export const QUEUE_RETRY_SECONDS = 5;

/** A slot for what runs in the foreground, or a 429 after `limits.foreground_wait`. */
export async function reserveSlot(
  deps: Pick<ResponsesDeps, 'runs' | 'settings' | 'projects'>,
  projectId: string,
  signal: AbortSignal,
): Promise<Slot> {
  const { foregroundWaitMs, concurrency } = deps.settings;
  const weight = (await deps.projects.find(projectId))?.weight ?? 1;
  const slot = await deps.runs.reserve(foregroundWaitMs, signal, { projectId, weight });
  if (slot !== undefined) return slot;
  if (deps.runs.stopping) throw apiError('shutting_down');
  throw apiError('no_free_slot', { concurrency, retryAfter: QUEUE_RETRY_SECONDS });
}
