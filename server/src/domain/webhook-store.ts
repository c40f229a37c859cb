import type { AuditEntry } from './audit.ts';
import type { WebhookDelivery, WebhookEventType } from '../protocol/webhooks.ts';

/** Where the ends of background responses are told, and what became of it (contract.md §4.19). Times in ms. */

export type StoredEndpoint = {
  id: string;
  name: string;
  url: string;
  eventTypes: WebhookEventType[];
  secret: string;
  /** Signs too until `oldSecretUntil`. */
  oldSecret: string | null;
  oldSecretUntil: number | null;
  createdAt: number;
  updatedAt: number;
  disabledAt: number | null;
  disabledReason: string | null;
};
export type NewEndpoint = Pick<StoredEndpoint, 'id' | 'name' | 'url' | 'eventTypes' | 'secret' | 'createdAt'>;
export type EndpointChange = Partial<Pick<StoredEndpoint, 'name' | 'url' | 'eventTypes'>>;

/** The answer of an endpoint, or why there was none. */
export type SendResult = { status: number } | { error: string };
export type Attempt = { at: number } & SendResult;

export type StoredDelivery = {
  id: string;
  responseId: string;
  type: WebhookEventType;
  createdAt: number;
  state: WebhookDelivery['state'];
  nextAt: number;
  /** The last ones, oldest first. */
  attempts: Attempt[];
};

/** Newest first; `after` is the id of the last one seen. */
export type PageQuery = { limit: number; after?: string | undefined };
export type Page<T> = { outcome: 'page'; entries: T[]; hasMore: boolean } | { outcome: 'absent' | 'no_cursor' };

/** Where a delivery goes, and how it is signed. */
export type DeliveryTarget = Pick<StoredEndpoint, 'id' | 'url' | 'secret' | 'oldSecret' | 'oldSecretUntil'>;

export type PendingDelivery = {
  no: number;
  id: string;
  /** The body, to the letter the same on every attempt. */
  payload: string;
  /** When it was written, or asked for again by hand: what the schedule counts from. */
  queuedAt: number;
  /** Attempts since then. */
  tries: number;
  nextAt: number;
};

export type EndpointQueue = {
  no: number;
  target: DeliveryTarget;
  /** Whether its last attempt failed. */
  failing: boolean;
  /** Those that are due first, oldest first. */
  pending: PendingDelivery[];
};

export type NextStep = { state: 'delivered' } | { state: 'failed' } | { state: 'pending'; nextAt: number };

/**
 * A part of the port `Store`; the same rules hold. Deliveries are written by the append that ends a response. `audit` is
 * written with the change, if it was made.
 */
export interface WebhookStore {
  createEndpoint(projectId: string, endpoint: NewEndpoint, audit?: AuditEntry): Promise<void>;
  findEndpoint(projectId: string, id: string): Promise<StoredEndpoint | undefined>;
  listEndpoints(projectId: string, query: PageQuery): Promise<Page<StoredEndpoint>>;
  /** Enables it again. `updatedAt` moves only if that, or the change, made a difference. */
  updateEndpoint(
    projectId: string,
    id: string,
    change: EndpointChange,
    now: number,
    audit?: AuditEntry,
  ): Promise<StoredEndpoint | undefined>;
  /** `oldSecretUntil` null: the old one is of no use from now on. */
  rotateSecret(
    projectId: string,
    id: string,
    secret: string,
    oldSecretUntil: number | null,
    now: number,
    audit?: AuditEntry,
  ): Promise<StoredEndpoint | undefined>;
  /** With all its deliveries. */
  deleteEndpoint(projectId: string, id: string, audit?: AuditEntry): Promise<boolean>;

  listDeliveries(projectId: string, endpointId: string, query: PageQuery): Promise<Page<StoredDelivery>>;
  /** Makes it due at `now`, whatever became of it before. */
  redeliver(
    projectId: string,
    endpointId: string,
    id: string,
    now: number,
    audit?: AuditEntry,
  ): Promise<StoredDelivery | 'absent' | 'disabled'>;
  /** Every enabled endpoint of all projects, each with up to `perEndpoint` deliveries, due or not yet. */
  listPending(perEndpoint: number): Promise<EndpointQueue[]>;
  /**
   * What became of a delivery. An endpoint of which every attempt has failed since `failingSince` is disabled, and what
   * is pending for it has failed. Nothing happens to a delivery that is not there any more.
   */
  recordAttempt(
    no: number,
    attempt: Attempt,
    next: NextStep,
    failingSince: number,
  ): Promise<'recorded' | 'disabled' | 'absent'>;
}

/** What happens to webhooks without anyone asking, and what a client may ask of it. */
export interface Webhooks {
  /** Why nothing is ever sent to `url`, in words that follow its name; undefined when it may be tried. */
  refusal(url: string): string | undefined;
  /** Sends a sample once. Rejects when `signal` aborts. */
  test(target: DeliveryTarget, type: WebhookEventType, signal: AbortSignal): Promise<SendResult>;
  /** An endpoint or a delivery was changed. */
  changed(): void;
  /** A background response has ended. */
  ended(): void;
}
