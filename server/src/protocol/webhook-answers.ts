import { z } from 'zod';
import { WEBHOOK_EVENT_TYPES } from './webhooks.ts';

/** What is answered about webhooks, for the OpenAPI document, as `answers.ts`. */

const id = z.string();
const seconds = z.int().describe('Unix time in seconds.');
const eventType = z.enum(WEBHOOK_EVENT_TYPES);

export const webhookEndpointAnswer = z.looseObject({
  id,
  object: z.literal('webhook_endpoint'),
  created_at: seconds,
  updated_at: seconds,
  name: z.string(),
  url: z.string(),
  event_types: z.array(eventType),
  signing_secret_hint: z.string(),
  disabled_at: seconds.nullable(),
  disabled_reason: z.string().nullable(),
});
export const webhookEndpointWithSecretAnswer = webhookEndpointAnswer.extend({ signing_secret: z.string() });
export const deletedWebhookEndpointAnswer = z.looseObject({
  id,
  object: z.literal('webhook_endpoint.deleted'),
  deleted: z.literal(true),
});
export const webhookTestAnswer = z.looseObject({
  object: z.literal('webhook_endpoint.test'),
  webhook_endpoint_id: id,
  event_type: eventType,
  success: z.literal(true),
  status_code: z.int(),
});
export const webhookEventTypesAnswer = z.looseObject({ object: z.literal('list'), data: z.array(eventType) });
export const webhookDeliveryAnswer = z.looseObject({
  id,
  object: z.literal('webhook_delivery'),
  webhook_endpoint_id: id,
  type: eventType,
  response_id: id,
  created_at: seconds,
  state: z.enum(['pending', 'delivered', 'failed']),
  next_attempt_at: seconds.nullable(),
  attempts: z.array(z.looseObject({ at: seconds, status: z.int().nullable(), error: z.string().nullable() })),
});

const page = { object: z.literal('list'), first_id: id.nullable(), last_id: id.nullable(), has_more: z.boolean() };
export const webhookEndpointsAnswer = z.looseObject({ ...page, data: z.array(webhookEndpointAnswer) });
export const webhookDeliveriesAnswer = z.looseObject({ ...page, data: z.array(webhookDeliveryAnswer) });
