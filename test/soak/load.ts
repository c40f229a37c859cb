import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../support/random.ts';
import { within } from '../contract/wire.ts';
import type { Served } from '../contract/wire.ts';
import * as single from './acts.ts';
import * as state from './state-acts.ts';
import type { Client } from './client.ts';
import type { Ends } from './ends.ts';

/** A steady number of clients, each of which does one thing after the other, chosen by chance. */

type Act = (client: Client) => Promise<void>;

/** In the report's words, and how often of a hundred. */
const ACTS: [string, number, Act][] = [
  ['streamed in the background', 16, single.streamInBackground],
  ['polled in the background', 11, single.pollInBackground],
  ['waited for in the background', 6, single.waitInBackground],
  ['streams dropped and resumed', 14, single.resumeInBackground],
  ['abandoned in the background', 4, single.abandonInBackground],
  ['large outputs', 1, single.largeInBackground],
  ['answered in the foreground', 7, single.inForeground],
  ['streamed in the foreground', 7, single.streamInForeground],
  ['left in the foreground', 3, single.leaveForeground],
  ['cancelled', 7, single.cancelInBackground],
  ['deleted', 5, single.deleteInBackground],
  ['failed', 3, single.fail],
  ['cut at a limit', 2, single.runOutOfTokens],
  ['tools called', 2, single.callTool],
  ['webhook endpoints of a moment', 1, state.subscribeBriefly],
  ['other questions', 5, state.look],
];

/** What builds on what is stored. */
const ON_STORED: typeof ACTS = [
  ['chains of three', 3, state.chain],
  ['conversations of two turns', 3, state.converse],
];

/** An act that takes longer is stuck, ms. Each has some seconds of work at most. */
const ACT_MS = 30_000;
/** Between two acts of a client, at most, ms. */
const PAUSE_MS = 200;
/** An answer was an error: what was asked for is gone. Nothing else is excused by the time that it took. */
const REFUSAL = /"error":/;
/** After so many failures nobody learns from more. */
const ENOUGH = 20;

export type Load = {
  holt: Served;
  ends: Ends;
  seed: number;
  /** How many clients there are. */
  clients: number;
  /** A response may be forgotten so long after its creation: who comes later, for whatever reason, may get a 404. ms */
  forgottenAfterMs: number;
  /** As of a client. */
  stores: boolean;
};

/** What was done and seen. */
export class Figures {
  readonly counts = new Map<string, number>();
  readonly failures: string[] = [];
  /** Acts that this machine made so slow that their response was forgotten before their end. */
  overtaken = 0;

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  get acts(): number {
    return [...ACTS, ...ON_STORED].reduce((sum, [name]) => sum + (this.counts.get(name) ?? 0), 0);
  }
}

/** Goes on until the signal; resolves when the last act is over. Nothing an act sees makes it reject. */
export async function runLoad(load: Load, figures: Figures, signal: AbortSignal): Promise<void> {
  const stories = new Map<string, string>();
  const lanes = Array.from({ length: load.clients }, async (_, lane) => {
    const random = new Random(load.seed + lane);
    const count = (what: string): void => {
      figures.count(what);
    };
    const client: Client = { holt: load.holt, ends: load.ends, stores: load.stores, random, stories, count };
    while (!signal.aborted && figures.failures.length < ENOUGH) {
      await actOnce(client, load, figures);
      await sleep(random.below(PAUSE_MS));
    }
  });
  await Promise.all(lanes);
}

async function actOnce(client: Client, load: Load, figures: Figures): Promise<void> {
  const [name, , act] = choose(client);
  const began = performance.now();
  try {
    await within(ACT_MS, act(client), `${name}: stuck`);
    figures.count(name);
  } catch (error) {
    const took = performance.now() - began;
    const words = described(error);
    if (took > load.forgottenAfterMs && REFUSAL.test(words)) figures.overtaken += 1;
    else figures.failures.push(`${name}, after ${Math.round(took)} ms: ${words}`);
  }
}

function choose({ random, stores }: Client): [string, number, Act] {
  const acts = stores ? [...ACTS, ...ON_STORED] : ACTS;
  let at = random.below(acts.reduce((sum, [, weight]) => sum + weight, 0));
  const found = acts.find(([, weight]) => (at -= weight) < 0);
  if (found === undefined) throw new RangeError('the weights are no weights');
  return found;
}

/** What `fetch` throws says only in its cause what it was. */
function described(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${error.message}${cause}`.slice(0, 2_000);
}
