import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Caller, Rates } from '../domain/limits.ts';

/** How much is left of the limits a minute, as OpenAI says it (contract.md §5). */

const UNITS = ['requests', 'tokens'] as const satisfies (keyof Rates)[];

export const RATE_HEADERS = UNITS.flatMap((unit) => [
  `x-ratelimit-limit-${unit}`,
  `x-ratelimit-remaining-${unit}`,
  `x-ratelimit-reset-${unit}`,
]);

/** Who asks for a response. What is left goes into the headers of the answer, whatever that will be. */
export function callerOf({ projectId, apiKey }: FastifyRequest, reply: FastifyReply): Caller {
  return {
    projectId,
    key: apiKey,
    told: (rates) => {
      if (reply.sent) return;
      for (const unit of UNITS) {
        const rate = rates[unit];
        if (rate === undefined) continue;
        reply.header(`x-ratelimit-limit-${unit}`, String(rate.limit));
        reply.header(`x-ratelimit-remaining-${unit}`, String(rate.remaining));
        reply.header(`x-ratelimit-reset-${unit}`, formatReset(rate.resetMs));
      }
    },
  };
}

/** `12ms`, `1.5s`, `6m0s`, `1h0m0s`. */
export function formatReset(ms: number): string {
  const whole = Math.ceil(ms);
  if (whole === 0) return '0s';
  if (whole < 1_000) return `${whole}ms`;
  const seconds = `${(whole % 60_000) / 1_000}s`;
  if (whole < 60_000) return seconds;
  const minutes = Math.floor(whole / 60_000);
  return minutes < 60 ? `${minutes}m${seconds}` : `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}
