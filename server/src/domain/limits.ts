import type { Response } from '../protocol/response.ts';

/** What a project, one of its keys and a model may use. All that apply count, and the tightest speaks. */

/** By the names that the wire and the configuration have for them; what is left out is not limited. */
export type Limits = {
  requests_per_minute?: number | undefined;
  tokens_per_minute?: number | undefined;
  /** Background responses that are queued or run. */
  background_running?: number | undefined;
  /** Of a day in UTC. */
  tokens_per_day?: number | undefined;
  /** Of a day in UTC, in the currency of the prices. */
  cost_per_day?: number | undefined;
};

/** Money for a million tokens. `cached_input`: as much as `input` when it is left out. */
export type Price = { input: number; cached_input?: number | undefined; output: number };

/** Whose limit it is. The id of a model is its entry in the configuration. */
export type Scope = { kind: 'project' | 'key' | 'model'; id: string };

/** No more than `max` background responses of a scope are unfinished at once. */
export type UnfinishedBound = { scope: Scope; max: number };

/** What a model says that it has read and written. `cached` is a part of `input`. */
export type TokenCounts = { input: number; cached: number; output: number };

/** How much is left of a limit a minute; `resetMs` until all of it is there again. */
export type Rate = { limit: number; remaining: number; resetMs: number };
export type Rates = { requests?: Rate; tokens?: Rate };

export type Caller = {
  projectId: string;
  /** Undefined for the key that the server was started with, and while there is none. */
  key: { id: string; limits: Limits } | undefined;
  /** Hears how much is left, before the answer, a refusal included; not if nothing limits it. */
  told(rates: Rates): void;
};

/** What is about to be begun. */
export type Work = {
  /** Of the response. */
  id: string;
  caller: Caller;
  /** Of the model that was asked for. */
  model: { entry: string; allowance: Limits };
  /** About how many tokens it will take; asked for only if that matters. Undefined: no model is asked at all. */
  tokens: (() => number) | undefined;
};

/** What became of the tokens of a response: `none` were used, or nobody counted them. */
export type Used = TokenCounts | 'none' | 'uncounted';

/** Who may begin what. */
export interface Limiter {
  /**
   * Counts a request before anything of it exists, or throws a row of the error table and counts nothing. What it
   * returns is for the store to hold. Not a promise when all is known, as it nearly always is.
   */
  admit(work: Work): readonly UnfinishedBound[] | Promise<readonly UnfinishedBound[]>;
  /** It never came to be: nothing of it counts. */
  withdraw(id: string): void;
  /** It is over: the estimate is corrected. The second time nothing happens. */
  settle(id: string, used: Used): void;
}

export function countsOf({ usage }: Pick<Response, 'usage'>): TokenCounts {
  return {
    input: usage?.input_tokens ?? 0,
    cached: usage?.input_tokens_details.cached_tokens ?? 0,
    output: usage?.output_tokens ?? 0,
  };
}

/** Of a response that has ended. */
export function usedBy(response: Pick<Response, 'usage' | 'output'>): Used {
  if (response.usage !== null) return countsOf(response);
  return response.output.length === 0 ? 'none' : 'uncounted';
}

export function costOf({ input, cached, output }: TokenCounts, price: Price | undefined): number {
  if (price === undefined) return 0;
  const read = Math.min(cached, input);
  const perMillion = (input - read) * price.input + read * (price.cached_input ?? price.input) + output * price.output;
  return perMillion / 1_000_000;
}

/** `YYYY-MM-DD` in UTC. */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

const DAY_MS = 86_400_000;

export function msUntilNextDay(ms: number): number {
  return DAY_MS - (ms % DAY_MS);
}

/** Scopes as messages name them. */
export function describeScope({ kind, id }: Scope): string {
  switch (kind) {
    case 'project':
      return `project '${id}'`;
    case 'key':
      return `this API key ('${id}')`;
    case 'model':
      return id === '*' ? "all models that '*' stands for" : `model '${id}'`;
  }
}
