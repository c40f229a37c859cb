import { z } from 'zod';

/** Webhooks (contract.md §4.19, §1.10). All times are Unix seconds. */

/** What Holt tells of. OpenAI has more types, of APIs that are not served here. */
export const WEBHOOK_EVENT_TYPES = [
  'response.completed',
  'response.failed',
  'response.incomplete',
  'response.cancelled',
] as const;
export type WebhookEventType = (typeof WEBHOOK_EVENT_TYPES)[number];

const name = z.string().min(1).max(256);
const url = z.string().min(1).max(2048);
const eventType = z.enum(WEBHOOK_EVENT_TYPES);
const eventTypes = z.array(eventType).refine((types) => types.length > 0, {
  error: 'empty array. Expected an array with minimum length 1, but got an empty array instead.',
  params: { code: 'empty_array' },
});

export const createWebhookEndpointBody = z.object({ name, url, event_types: eventTypes });
export const updateWebhookEndpointBody = z.object({
  name: name.optional(),
  url: url.optional(),
  event_types: eventTypes.optional(),
});
export const rotateSecretBody = z.object({ keep_old_secret_active_for_24_hours: z.boolean().nullish() });
export const testWebhookEndpointBody = z.object({ event_type: eventType });

export type WebhookEndpoint = {
  id: string;
  object: 'webhook_endpoint';
  created_at: number;
  updated_at: number;
  name: string;
  url: string;
  event_types: WebhookEventType[];
  signing_secret_hint: string;
  /** Holt's own: since when nothing is sent to it any more, because nothing arrived for days. An update enables it. */
  disabled_at: number | null;
  disabled_reason: string | null;
};
/** The secret is shown when it is made, and never again. */
export type WebhookEndpointWithSecret = WebhookEndpoint & { signing_secret: string };
export type DeletedWebhookEndpoint = { id: string; object: 'webhook_endpoint.deleted'; deleted: true };

export type WebhookTestResult = {
  object: 'webhook_endpoint.test';
  webhook_endpoint_id: string;
  event_type: WebhookEventType;
  success: true;
  status_code: number;
};

/** Holt's own: what became of an event at an endpoint. */
export type WebhookDelivery = {
  /** That of the event: what `webhook-id` says on every attempt. */
  id: string;
  object: 'webhook_delivery';
  webhook_endpoint_id: string;
  type: WebhookEventType;
  response_id: string;
  created_at: number;
  state: 'pending' | 'delivered' | 'failed';
  /** Null when it is over. */
  next_attempt_at: number | null;
  /** The last ones, oldest first. */
  attempts: { at: number; status: number | null; error: string | null }[];
};

/** What is sent: enough to fetch the rest. */
export type WebhookEvent = {
  id: string;
  object: 'event';
  type: WebhookEventType;
  created_at: number;
  data: { id: string };
};
