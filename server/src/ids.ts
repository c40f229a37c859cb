import { randomBytes } from 'node:crypto';
import type { Ids } from './domain/ports.ts';

export function randomIds(): Ids {
  return {
    // Twelve hex of milliseconds last until the year 10889.
    response: (createdAt) => `resp_${createdAt.toString(16).padStart(12, '0')}00${hex(18)}`,
    item: (prefix) => `${prefix}_${hex(24)}`,
    request: () => `req_${hex(16)}`,
    worker: () => `worker_${hex(8)}`,
    apiKey: () => `sk-holt-${randomBytes(32).toString('base64url')}`,
    webhookSecret: () => `whsec_${randomBytes(32).toString('base64')}`,
  };
}

function hex(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}
