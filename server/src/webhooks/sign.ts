import { Webhook } from 'standardwebhooks';
import type { DeliveryTarget } from '../domain/webhook-store.ts';

/** The headers of Standard Webhooks: signed with each secret that is valid at `now` (ms), the newest first. */
export function signedHeaders(
  target: DeliveryTarget,
  id: string,
  payload: string,
  now: number,
): Record<`webhook-${string}`, string> {
  const secrets = [target.secret];
  if (target.oldSecret !== null && target.oldSecretUntil !== null && now < target.oldSecretUntil) {
    secrets.push(target.oldSecret);
  }
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now / 1000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(id, new Date(now), payload)).join(' '),
  };
}
