import type { Clock } from '../../domain/ports.ts';

export type Headers = Record<string, string | string[] | undefined>;

/** How long the upstream wants to be left alone, in ms: `retry-after-ms`, then `Retry-After` in seconds or as a date. */
export function retryAfterMs(headers: Headers, clock: Clock): number | undefined {
  const precise = amount(headers['retry-after-ms']);
  if (precise !== undefined) return precise;
  const header = headers['retry-after'];
  const seconds = amount(header);
  if (seconds !== undefined) return Math.round(seconds * 1000);
  // A date begins with its weekday; `Date.parse` would make one of "-5" too.
  const date = typeof header === 'string' && /^[a-z]/i.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - clock.now());
}

function amount(header: string | string[] | undefined): number | undefined {
  if (typeof header !== 'string' || header.trim() === '') return undefined;
  const value = Number(header);
  return Number.isFinite(value) && value >= 0 ? value : undefined;
}
