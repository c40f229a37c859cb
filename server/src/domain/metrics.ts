import type { ErrorName } from './errors.ts';
import type { EndStatus } from './status.ts';

/**
 * What happened, for whoever watches this server. Called per response, per request or per commit, never per event:
 * the way of a token must not get longer. What a client may choose is bounded by the adapter, not by the caller.
 */

export type ResponseKind = 'background' | 'foreground';

/**
 * What was done with a response that a dead process left; `key_lost`: ended, since its words can't be read any more;
 * `damaged`: its log can't be read, it is ended as failed.
 */
export const RECOVERIES = [
  'cancel',
  'rerun',
  'reattach',
  'continue',
  'restart',
  'fail',
  'key_lost',
  'damaged',
] as const;
export type Recovery = (typeof RECOVERIES)[number];

/** What came of one attempt; `pending`: not taken, and there will be another one. */
export const WEBHOOK_OUTCOMES = ['delivered', 'pending', 'failed'] as const;
export type WebhookOutcome = (typeof WEBHOOK_OUTCOMES)[number];

/** One group of appends that became durable together, from its sending, tries that failed included. */
export type Commit = { seconds: number; events: number; bytes: number };

export type AnsweredRequest = {
  method: string;
  /** The pattern, not the URL. */
  route: string;
  /** Undefined when the client had left before there was one. */
  status: number | undefined;
};

export interface Metrics {
  /** Seconds from some start, finer than the Clock's milliseconds and never set: only differences mean something. */
  now(): number;
  /** The end is durable, or with `store: false` about to be shown. */
  responseEnded(kind: ResponseKind, status: EndStatus, model: string): void;
  /** @param seconds from reading the first output of the upstream to when a reader could have it */
  firstOutputShown(kind: ResponseKind, seconds: number): void;
  /** @param seconds from handing row and chunk 0 of a background response to the store to their being durable */
  createCommitted(seconds: number): void;
  appendsCommitted(commit: Commit): void;
  streamOpened(): void;
  streamClosed(): void;
  providerAsked(provider: string): void;
  /** @param row of the error table: what the failure means, not how the upstream put it */
  providerFailed(provider: string, row: ErrorName): void;
  /** The same turn will be tried again. */
  providerRetried(provider: string): void;
  recovered(recovery: Recovery): void;
  webhookAttempted(outcome: WebhookOutcome): void;
  requestAnswered(request: AnsweredRequest): void;
}

/** For a server that nobody watches. */
export const NO_METRICS: Metrics = {
  now: () => 0,
  responseEnded() {},
  firstOutputShown() {},
  createCommitted() {},
  appendsCommitted() {},
  streamOpened() {},
  streamClosed() {},
  providerAsked() {},
  providerFailed() {},
  providerRetried() {},
  recovered() {},
  webhookAttempted() {},
  requestAnswered() {},
};
