import type { Scope, TokenCounts } from './limits.ts';

/** What was used on a day, by project, key and model. Days are `YYYY-MM-DD` in UTC. */

export type Charge = {
  projectId: string;
  keyId: string | null;
  /** The model's entry in the configuration. */
  modelEntry: string;
  /** When its response ended, ms. */
  at: number;
  counts: TokenCounts;
};

export type ModelUsage = TokenCounts & { modelEntry: string; requests: number };

/** A part of the port `Store`; the same rules hold. What has a row is added with its end. */
export interface UsageStore {
  /** Of a response that leaves no row. Nothing is added to a project that was deleted. */
  addUsage(charge: Charge): Promise<void>;
  /** What a scope has used on a day, by model; nothing for what was not used. */
  readUsage(scope: Scope, day: string): Promise<ModelUsage[]>;
}
