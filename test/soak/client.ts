import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../support/random.ts';
import { hasEnded, poll, textOf } from '../contract/wire.ts';
import type { Served, WireResponse } from '../contract/wire.ts';
import type { Ends } from './ends.ts';

/** What every client of the load has at hand. */
export type Client = {
  holt: Served;
  random: Random;
  /** Whether `store: true` means anything: not under zero data retention. */
  stores: boolean;
  /** What the receiver of webhooks is to be told. */
  ends: Ends;
  /** The story that a seed and a length are: the first one that was told, and all others have to be it. */
  stories: Map<string, string>;
  count: (what: string) => void;
};

/** A story of one of these is asked for: each comes by often. */
const SEEDS = 4;
const LENGTHS = [1, 20, 60, 150, 400];
/** About the output of a long answer of a model; 0.1 MB of text, 2 MB as a stream. */
const LARGE = 12_000;

export type Story = { tokens: number; seed: number };

export function someStory({ random }: Client): Story {
  return { tokens: random.pick(LENGTHS), seed: 1 + random.below(SEEDS) };
}

export function largeStory({ random }: Client): Story {
  return { tokens: LARGE, seed: 1 + random.below(SEEDS) };
}

/** Slow enough that a client can come between its tokens, or as fast as it goes. */
export function somePace({ random }: Client): { first_token_ms: number; interval_ms: number } {
  return { first_token_ms: random.pick([0, 0, 20, 200]), interval_ms: random.pick([0, 0, 1, 4]) };
}

/** Completed, with one word a token, and the same words as ever. */
export function checkTold({ stories }: Client, { tokens, seed }: Story, response: WireResponse): void {
  assert.equal(response.status, 'completed', JSON.stringify(response.error));
  const text = textOf(response);
  assert.equal(text.split(' ').length, tokens);
  const key = `${tokens} tokens of seed ${seed}`;
  const told = stories.get(key) ?? text;
  stories.set(key, told);
  assert.equal(text, told, key);
}

/** Polls until it has ended; what was seen once is never taken back. */
export async function pollToEnd(client: Client, id: string): Promise<WireResponse> {
  let shown = '';
  for (;;) {
    const response = await poll(client.holt, id);
    client.count('polls');
    const text = textOf(response);
    assert.ok(text.startsWith(shown), `${id}: polled output was taken back`);
    shown = text;
    if (hasEnded(response)) return response;
    await sleep(20 + client.random.below(200));
  }
}
