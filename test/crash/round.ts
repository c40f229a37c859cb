import assert from 'node:assert/strict';
import { Random } from '../support/random.ts';
import { follow, post, request } from './clients.ts';
import { Machine } from './machine.ts';
import { Milestones } from './milestones.ts';
import { LEISURELY } from './plan.ts';
import { Population } from './population.ts';
import { settle } from './settle.ts';

/**
 * A round: many clients of many kinds on one server that is killed with -9 again and again, at moments that a seed
 * chooses among what the clients have seen; then everything comes to its end, and all that was seen is compared with
 * the logs.
 */

export type RoundOptions = {
  seed: number;
  /** New ones after every start. */
  clients: number;
  kills: number;
  /** Below the number of clients, so that some responses wait in the queue. */
  concurrency: number;
  /** Whether some kills come while the server recovers. */
  atBoot: boolean;
};

export async function killRound(signal: AbortSignal, options: RoundOptions): Promise<Map<string, number>> {
  await using machine = await Machine.start(signal, { worker: { concurrency: options.concurrency } });
  const population = new Population(LEISURELY);
  try {
    const story = await tellStory(machine.url, LEISURELY.maxTokens);
    for (let kill = 0; kill < options.kills; kill += 1) {
      const random = new Random(options.seed * 100 + kill);
      const orphansAtBoot = options.atBoot && random.chance(0.4) ? 1 + random.below(6) : 0;
      await loadAndKill(machine, population, options.clients, random);
      if (orphansAtBoot > 0) await machine.startAndKill(orphansAtBoot);
      await machine.start();
    }
    const { url, data, kills } = machine;
    return await settle(
      {
        url,
        data,
        kills,
        ends: kills,
        story,
        terminate: () => machine.terminate(),
        withStore: (use) => machine.withStore(use),
      },
      population,
    );
  } catch (error) {
    throw new Error(`${JSON.stringify(options)}, server ${machine.state}\n${machine.complaints}`, { cause: error });
  }
}

/** The tokens that the demonstration model says with nobody in its way. */
export async function tellStory(base: string, tokens: number): Promise<string[]> {
  const words: string[] = [];
  const scripted = { tokens, first_token_ms: 0, interval_ms: 0 };
  const quiet = { background: false, stream: true, stream_options: { include_obfuscation: false } };
  await follow(`${base}/v1/responses`, post(request(scripted, quiet)), {
    onFrame: ({ event, data }) => {
      if (event === 'response.output_text.delta') words.push(String(data['delta']));
    },
  });
  assert.equal(words.length, tokens);
  return words;
}

/** Lets clients live on the server, kills it at a moment, waits until every client is gone. */
async function loadAndKill(machine: Machine, population: Population, clients: number, random: Random): Promise<void> {
  const seen = new Milestones();
  const moment = momentOf(random, clients);
  const life = { url: machine.url, kills: machine.kills, random, seen, stopping: false };
  const all = population.live(life, clients);
  await Promise.race([seen.reached(...moment), all]);
  await machine.kill();
  await all;
}

/** The n-th time that clients see something. */
export function momentOf(random: Random, clients: number): [string, number] {
  return random.pick<() => [string, number]>([
    () => ['created', 1 + random.below(clients)],
    () => ['frame', 1 + random.below(30)],
    () => ['frame', 1 + random.below(clients * 40)],
    () => ['frame', 1 + random.below(clients * 40)],
    () => ['response.in_progress', 1 + random.below(clients)],
    () => ['response.output_item.added', 1 + random.below(clients)],
    () => ['response.content_part.added', 1 + random.below(clients)],
    () => ['response.output_text.delta', 1 + random.below(clients * 10)],
    () => ['response.output_item.done', 1 + random.below(clients)],
    () => ['response.completed', 1 + random.below(Math.ceil(clients / 2))],
    () => ['cancel sent', 1 + random.below(2)],
    () => ['cancel answered', 1 + random.below(2)],
    () => ['delete sent', 1],
    () => ['delete answered', 1],
    () => ['polled', 1 + random.below(clients * 3)],
  ])();
}
