import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type OpenAI from 'openai';
import type { InProcess, TestHolt } from '../support/holt.ts';
import type { Hit } from '../support/webhook-receiver.ts';
import { call, create, get, pollUntil } from './wire.ts';
import type { Answer, Served, WireResponse } from './wire.ts';

/** What the webhook tests share: receivers are on this machine, which a Holt has to allow. */

export const LOCAL: InProcess = {
  configure: (config) => {
    config.webhooks = { allow_http: true, allow_private: true };
  },
};

export const ALL = ['response.completed', 'response.failed', 'response.incomplete', 'response.cancelled'] as const;

export type Endpoint = OpenAI.Webhooks.WebhookEndpointWithSecret & {
  disabled_at: number | null;
  disabled_reason: string | null;
};

export async function subscribe(holt: TestHolt, url: string, eventTypes: readonly string[] = ALL): Promise<Endpoint> {
  return (await holt.client.webhooks.create({
    name: 'test',
    url,
    event_types: [...eventTypes] as OpenAI.Webhooks.WebhookCreateParams['event_types'],
  })) as Endpoint;
}

/** A background response that has ended. */
export async function runToEnd(holt: Served, body: object): Promise<WireResponse> {
  const { id } = await create(holt, { ...body, background: true });
  return pollUntil(holt, id);
}

export type Delivery = {
  id: string;
  object: string;
  type: string;
  response_id: string;
  state: string;
  next_attempt_at: number | null;
  attempts: { at: number; status: number | null; error: string | null }[];
};

export async function deliveriesOf(holt: Served, endpointId: string): Promise<Delivery[]> {
  const answer = await get(holt, `webhook_endpoints/${endpointId}/deliveries?limit=100`);
  assert.equal(answer.status, 200, answer.text);
  return (JSON.parse(answer.text) as { data: Delivery[] }).data;
}

/** The newest delivery that `wanted` holds of, as soon as there is one. */
export async function deliveryUntil(
  holt: Served,
  endpointId: string,
  wanted: (delivery: Delivery) => boolean,
): Promise<Delivery> {
  const last = performance.now() + 20_000;
  for (;;) {
    const deliveries = await deliveriesOf(holt, endpointId);
    const found = deliveries.find(wanted);
    if (found !== undefined) return found;
    assert.ok(performance.now() < last, JSON.stringify(deliveries));
    await sleep(2);
  }
}

export function redeliver(holt: Served, endpointId: string, deliveryId: string): Promise<Answer> {
  return call('POST', `${holt.url}/v1/webhook_endpoints/${endpointId}/deliveries/${deliveryId}/redeliver`);
}

/** The headers as the clients want them. */
export function headersOf(hit: Hit | undefined): Headers {
  return new Headers(Object.entries(hit?.headers ?? {}).map(([name, value]) => [name, String(value)]));
}
