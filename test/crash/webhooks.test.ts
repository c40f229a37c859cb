import { test } from 'node:test';
import { webhookRound } from './webhook-round.ts';

/** No webhook is lost to kill -9, in short; webhooks.long.ts has more rounds. */

test('killed around the ends of responses, a server loses no webhook, and what comes twice has one id', async (t) => {
  const { told, hits, duplicates } = await webhookRound(t.signal, { seed: 1, responses: 40, kills: 3 });
  t.diagnostic(`${told} responses, ${hits} hits, ${duplicates} of them again`);
});
