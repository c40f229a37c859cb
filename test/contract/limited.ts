import type { Limits } from '../../server/src/domain/limits.ts';
import { startHolt } from '../support/holt.ts';
import type { InProcess, TestHolt } from '../support/holt.ts';
import { ADMIN_KEY, adminJson } from './admin-client.ts';
import { otter } from './wire.ts';
import type { Served } from './wire.ts';

/** A server whose limits a test sets. */

export const ENV = { HOLT_ADMIN_KEY: ADMIN_KEY };

export const BACKGROUND = otter({ tokens: 1 }, { background: true });

export function startLimited(options: InProcess = {}): Promise<TestHolt> {
  return startHolt({ env: ENV, ...options });
}

/** Limits of the project that everybody is in while there is no key. */
export async function limit(holt: Served, limits: Limits): Promise<void> {
  await adminJson(holt, 'POST', 'projects/default', { limits });
}
