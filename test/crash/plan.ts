import type { Random } from '../support/random.ts';

/** What one client is going to do with its response. */
export type Plan = {
  stream: boolean;
  tokens: number;
  scripted: Record<string, string | number>;
  failAfter: number | undefined;
  limit: number | undefined;
  toolCall: boolean;
  /** Cancels or deletes at the event with this number. */
  end: { verb: 'cancel' | 'delete'; at: number } | undefined;
  /** Leaves at this event and comes back with its cursor. */
  leaveAt: number | undefined;
  polls: boolean;
  paceMs: number;
};

/** How long responses take: how many tokens at most, and the pauses to choose from. */
export type Pace = { maxTokens: number; firstTokenMs: readonly number[]; intervalMs: readonly number[] };

export const LEISURELY: Pace = {
  maxTokens: 90,
  firstTokenMs: [0, 0, 5, 50, 300, 1_000],
  intervalMs: [0, 1, 5, 15, 30],
};
export const BRISK: Pace = { maxTokens: 40, firstTokenMs: [0, 0, 2, 10, 60, 250], intervalMs: [0, 0, 1, 3, 8] };

/** @param end what is certain to be done to it; otherwise chance decides */
export function planOf(random: Random, pace: Pace, end?: 'cancel' | 'delete'): Plan {
  const tokens = random.below(pace.maxTokens);
  const toolCall = random.chance(0.1);
  const reasoning = random.chance(0.3) ? random.below(20) : 0;
  const failAfter = random.chance(0.1) ? random.below(60) : undefined;
  const limit = random.chance(0.1) ? 16 + random.below(40) : undefined;
  const scripted: Plan['scripted'] = {
    tokens,
    reasoning_tokens: reasoning,
    first_token_ms: random.pick(pace.firstTokenMs),
    interval_ms: random.pick(pace.intervalMs),
    ...(failAfter === undefined ? {} : { fail_after: failAfter }),
    ...(toolCall ? { tool_call: 'look_up' } : {}),
  };
  const at = random.below(end === undefined ? random.pick([4, 30, 120]) : 3);
  const chosen = random.chance(0.2) ? (random.chance(0.7) ? 'cancel' : 'delete') : undefined;
  const verb = end ?? chosen;
  return {
    stream: random.chance(0.75),
    tokens,
    scripted,
    failAfter,
    limit,
    toolCall,
    end: verb === undefined ? undefined : { verb, at },
    leaveAt: random.chance(0.3) ? random.below(60) : undefined,
    polls: random.chance(0.4),
    paceMs: 1 + random.below(30),
  };
}
