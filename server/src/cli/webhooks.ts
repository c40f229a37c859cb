import { wrongFlag } from '../admin-command.ts';
import type { WebhookDelivery, WebhookEndpoint, WebhookEndpointWithSecret } from '../admin-command.ts';
import { askForList, numberFrom, pathOf, runAction, tableOf, timeOf } from './actions.ts';
import type { Action } from './actions.ts';

/** `holt webhooks list|create|update|rotate|delete|test|deliveries|redeliver` */

const EVENTS = ['response.completed', 'response.failed', 'response.incomplete', 'response.cancelled'];
/** Of the deliveries there are, the newest. */
const SHOWN = 20;

const OF_PROJECT = { flags: ['project'], needed: ['project'] };

const ACTIONS: Record<string, Action> = {
  list: {
    ...OF_PROJECT,
    words: [],
    run: async ({ flags }, ask) => {
      const found = await askForList<WebhookEndpoint>(ask, placeOf(flags));
      return { answer: found, text: showEndpoints(found) };
    },
  },
  create: {
    words: [],
    flags: ['project', 'name', 'to', 'event*'],
    needed: ['project', 'name', 'to'],
    run: async ({ flags, lists }, ask) => {
      const { name, to: url } = flags;
      const body = { name, url, event_types: lists['event'] ?? EVENTS };
      const made = await ask<WebhookEndpointWithSecret>('POST', placeOf(flags), body);
      return {
        answer: made,
        text: made.signing_secret,
        note: `This is the signing secret of ${made.id}, and it is not shown again.`,
      };
    },
  },
  update: {
    words: ['ENDPOINT'],
    flags: ['project', 'name', 'to', 'event*'],
    needed: ['project'],
    run: async ({ words, flags, lists }, ask) => {
      const { name, to: url } = flags;
      const body = { name, url, event_types: lists['event'] };
      const changed = await ask<WebhookEndpoint>('POST', `${placeOf(flags)}/${pathOf(words[0])}`, body);
      return { answer: changed, text: showEndpoints([changed]) };
    },
  },
  rotate: {
    words: ['ENDPOINT'],
    flags: ['project', 'old'],
    needed: ['project'],
    run: async ({ words, flags }, ask) => {
      const { old = 'keep' } = flags;
      if (old !== 'keep' && old !== 'drop') throw wrongFlag('old', 'keep or drop', old);
      const body = { keep_old_secret_active_for_24_hours: old === 'keep' };
      const path = `${placeOf(flags)}/${pathOf(words[0], 'rotate_secret')}`;
      const rotated = await ask<WebhookEndpointWithSecret>('POST', path, body);
      const until = old === 'keep' ? 'The old one is valid for 24 hours more.' : 'The old one is valid no more.';
      return { answer: rotated, text: rotated.signing_secret, note: `This is not shown again. ${until}` };
    },
  },
  delete: {
    ...OF_PROJECT,
    words: ['ENDPOINT'],
    run: async ({ words, flags }, ask) => {
      const deleted = await ask<{ id: string }>('DELETE', `${placeOf(flags)}/${pathOf(words[0])}`);
      return { answer: deleted, text: `${deleted.id} is deleted.` };
    },
  },
  test: {
    words: ['ENDPOINT'],
    flags: ['project', 'event'],
    needed: ['project'],
    run: async ({ words, flags }, ask) => {
      const body = { event_type: flags['event'] ?? EVENTS[0] };
      const path = `${placeOf(flags)}/${pathOf(words[0], 'test')}`;
      const result = await ask<{ status_code: number }>('POST', path, body);
      return { answer: result, text: `It answered ${result.status_code}.` };
    },
  },
  deliveries: {
    words: ['ENDPOINT'],
    flags: ['project', 'most'],
    needed: ['project'],
    run: async ({ words, flags }, ask) => {
      const most = flags['most'] === undefined ? SHOWN : numberFrom('most', flags['most']);
      const path = `${placeOf(flags)}/${pathOf(words[0], 'deliveries')}`;
      const found = await askForList<WebhookDelivery>(ask, path, most);
      return { answer: found, text: showDeliveries(found) };
    },
  },
  redeliver: {
    ...OF_PROJECT,
    words: ['ENDPOINT', 'DELIVERY'],
    run: async ({ words, flags }, ask) => {
      const path = `${placeOf(flags)}/${pathOf(words[0], 'deliveries', words[1], 'redeliver')}`;
      const delivery = await ask<WebhookDelivery>('POST', path);
      return { answer: delivery, text: `${delivery.id} is sent again.` };
    },
  },
};

export function webhooks(): Promise<number> {
  return runAction('webhooks', ACTIONS);
}

function placeOf(flags: Record<string, string>): string {
  return pathOf('projects', flags['project'], 'webhook_endpoints');
}

function showEndpoints(found: readonly WebhookEndpoint[]): string {
  return tableOf(
    ['ENDPOINT', 'NAME', 'URL', 'EVENTS', 'CREATED', 'DISABLED'],
    found.map((endpoint) => [
      endpoint.id,
      endpoint.name,
      endpoint.url,
      endpoint.event_types.join(' '),
      timeOf(endpoint.created_at),
      endpoint.disabled_at === null ? '-' : `${timeOf(endpoint.disabled_at)}: ${endpoint.disabled_reason ?? ''}`,
    ]),
  );
}

function showDeliveries(found: readonly WebhookDelivery[]): string {
  return tableOf(
    ['DELIVERY', 'EVENT', 'RESPONSE', 'STATE', 'ATTEMPTS', 'LAST ANSWER', 'CREATED'],
    found.map((delivery) => {
      const last = delivery.attempts.at(-1);
      return [
        delivery.id,
        delivery.type,
        delivery.response_id,
        delivery.state,
        String(delivery.attempts.length),
        last === undefined ? '-' : (last.error ?? String(last.status)),
        timeOf(delivery.created_at),
      ];
    }),
  );
}
