import type { ResponseStatus } from '../protocol/response.ts';

/**
 * The status machine (contract.md §2): queued -> in_progress -> one of four ends, or queued -> cancelled | failed.
 * Nothing leaves an end.
 */
const NEXT: Record<ResponseStatus, readonly ResponseStatus[]> = {
  queued: ['in_progress', 'cancelled', 'failed'],
  in_progress: ['completed', 'failed', 'incomplete', 'cancelled'],
  completed: [],
  failed: [],
  incomplete: [],
  cancelled: [],
};

export type EndStatus = Exclude<ResponseStatus, 'queued' | 'in_progress'>;

export function isEnded(status: ResponseStatus): status is EndStatus {
  return NEXT[status].length === 0;
}

export function canBecome(from: ResponseStatus, to: ResponseStatus): boolean {
  return NEXT[from].includes(to);
}

/** There is no `response.cancelled` stream event: a cancelled stream ends with `response.failed` (contract.md §3.7). */
export function terminalEventType(status: EndStatus): 'response.completed' | 'response.incomplete' | 'response.failed' {
  switch (status) {
    case 'completed':
      return 'response.completed';
    case 'incomplete':
      return 'response.incomplete';
    case 'failed':
    case 'cancelled':
      return 'response.failed';
  }
}
