import type { Limiter } from '../domain/limits.ts';
import type { Metrics } from '../domain/metrics.ts';
import type { Clock, Hints, Ids, Log, Models, Runs, Store, Tokenizer } from '../domain/ports.ts';
import type { Projects } from '../domain/project-store.ts';
import type { RetentionMode } from '../domain/retention.ts';
import type { Seal } from '../domain/seal.ts';
import type { Webhooks } from '../domain/webhook-store.ts';

/** What the verbs are made of; each takes the part it needs. */
export type ResponsesDeps = {
  store: Store;
  hints: Hints;
  runs: Runs;
  models: Models;
  seal: Seal;
  tokenizer: Tokenizer;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  webhooks: Webhooks;
  limiter: Limiter;
  projects: Projects;
  settings: {
    /** Unknown top-level keys are a 400 instead of a log line. */
    strict: boolean;
    queueMax: number;
    concurrency: number;
    /** How long a foreground request waits for a slot, ms. */
    foregroundWaitMs: number;
    /** How long a response is kept, ms. */
    responseRetentionMs: number;
    /** How long its events can be streamed after the end, ms. */
    logRetentionMs: number;
    /** Of projects that have none of their own. */
    retention: RetentionMode;
  };
};
