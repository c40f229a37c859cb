import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Receiver, eventIn } from '../support/webhook-receiver.ts';
import { ALL, subscribe } from '../contract/webhook-endpoint.ts';
import { cancel, create, otter, pollUntil } from '../contract/wire.ts';
import { Machine } from './machine.ts';
import { Random } from '../support/random.ts';

/**
 * A server is killed with -9 around the ends of many responses, again and again, with a receiver that outlives it: each
 * response that was acknowledged is told at least once, always under one id, and with the end that it had.
 */
export async function webhookRound(
  signal: AbortSignal,
  { seed, responses, kills }: { seed: number; responses: number; kills: number },
): Promise<{ told: number; hits: number; duplicates: number }> {
  const random = new Random(seed);
  await using receiver = await Receiver.start();
  await using machine = await Machine.start(signal, { webhooks: { allow_http: true, allow_private: true } });
  // Some are refused at first, so that retries are under way when the server dies.
  receiver.react = () => (random.chance(0.1) ? 500 : 204);
  await subscribe(machine.holt, receiver.url(), ALL);
  const made: string[] = [];
  for (let round = 0; round <= kills; round += 1) {
    const last = round === kills;
    // A life creates a few more than its share, since it is killed before it has made them all.
    const share = last ? responses - made.length : Math.ceil((2 * responses) / (kills + 1));
    const wanted = receiver.hits.length + random.below(Math.max(share, 1));
    const creating = createSome(machine, random, share, made).catch((error: unknown) => {
      if (last) throw error; // else its server was killed
    });
    if (!last) {
      await Promise.race([creating, receiver.until((hits) => hits.length > wanted, `hit ${wanted}`), sleep(2_000)]);
      await machine.restart();
    }
    await creating;
  }
  receiver.react = () => 204;
  const ends = new Map<string, string>();
  for (const id of made) ends.set(id, `response.${(await pollUntil(machine.holt, id)).status}`);
  const told = (): Map<string, Set<string>> => {
    const ids = new Map<string, Set<string>>();
    for (const hit of receiver.hits) {
      const event = eventIn(hit);
      const key = `${event.data.id} ${event.type}`;
      ids.set(key, (ids.get(key) ?? new Set()).add(String(hit.headers['webhook-id'])));
    }
    return ids;
  };
  const expected = made.map((id) => `${id} ${ends.get(id) ?? ''}`);
  await receiver.until(() => expected.every((key) => told().has(key)), 'every end is told');
  const seen = told();
  for (const [key, ids] of seen) assert.equal(ids.size, 1, `${key} has the ids ${[...ids].join()}`);
  const subjects = [...seen.keys()].map((key) => key.split(' ')[0]);
  assert.equal(new Set(subjects).size, subjects.length, 'no response has two ends');
  return { told: made.length, hits: receiver.hits.length, duplicates: receiver.hits.length - seen.size };
}

/** Ends of every kind, at once or soon. Ids go into `made` as they are acknowledged. */
async function createSome(machine: Machine, random: Random, count: number, made: string[]): Promise<void> {
  const holt = machine.holt;
  for (let index = 0; index < count; index += 1) {
    const kind = random.below(4);
    const script = { tokens: 1 + random.below(60), interval_ms: random.below(3), ...(kind === 1 && { fail_after: 2 }) };
    const more = kind === 2 ? { max_output_tokens: 16 } : {};
    const { id } = await create(holt, otter(script, { background: true, ...more }));
    made.push(id);
    if (kind === 3) await cancel(holt, id);
  }
}
