import { setTimeout as sleep } from 'node:timers/promises';
import { cpuOf, quiet } from './proc.ts';
import type { Setup } from './setup.ts';
import { spreadOf } from './spread.ts';
import type { Spread } from './spread.ts';

/**
 * Figure 2: CPU per event of Holt, background with a reader, over that of the bare relay. Both have the same upstream
 * and the same client, run in turns, and are read from the operating system's accounting of their process.
 */

export type Cpu = {
  /** × the bare relay */
  ratio: Spread;
  /** µs per event */
  holtUs: Spread;
  relayUs: Spread;
  /** Deltas of one round, of each. */
  events: number;
};

type Server = { url: string; pid: number; background: boolean };
/** µs and deltas */
type Work = { cpu: number; events: number };
type Measure = (setup: Setup, server: Server) => Promise<Work>;

const STREAMS = 100;
const RATE = 50;
/** Before and after the window, so that neither the beginning nor the end of streams is in it. */
const MARGIN_S = 1;
const FLAT_EVENTS = 1_000;
/** Holt compacts what has ended, about a second later. That belongs to the work. */
const COMPACTION_MS = 1_600;
/** What is left of the set-up ends in this time. */
const SETTLE_MS = 500;

/** 100 streams of 50 events a second, a window of their steady state. */
export function measurePaced(setup: Setup, size: { rounds: number; windowS: number }): Promise<Cpu> {
  return compare(setup, size.rounds, async (setup, server) => {
    const load = await begin(setup, server, RATE, RATE * (size.windowS + 2 * MARGIN_S));
    await sleep(MARGIN_S * 1_000);
    const before = await stamp(setup, server, load.name);
    await sleep(size.windowS * 1_000);
    const after = await stamp(setup, server, load.name);
    await setup.client.ask('finish', load);
    return { cpu: after.cpu - before.cpu, events: after.events - before.events };
  });
}

/** 100 streams of 1,000 events as fast as they go, from the first event to the last thing done about them. */
export function measureFlatOut(setup: Setup, size: { rounds: number; repeats: number }): Promise<Cpu> {
  return compare(setup, size.rounds, pour, size.repeats);
}

async function pour(setup: Setup, server: Server): Promise<Work> {
  const load = await begin(setup, server, 0, FLAT_EVENTS);
  await setup.client.ask('finish', load);
  await quiet(server.pid, server.background ? COMPACTION_MS : 0);
  return { cpu: cpuOf(server.pid) - load.cpu, events: STREAMS * FLAT_EVENTS };
}

async function compare(setup: Setup, rounds: number, measure: Measure, repeats = 1): Promise<Cpu> {
  const holt = await setup.holt();
  const durable: Server = { url: holt.url, pid: holt.pid, background: true };
  const bare: Server = { url: setup.relay.ready, pid: setup.relay.pid, background: false };
  for (const server of [bare, durable]) await pour(setup, server); // warm-up
  const taken: { holt: number; relay: number; events: number }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const works = new Map<Server, Work>();
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      for (const server of (round + repeat) % 2 === 0 ? [bare, durable] : [durable, bare]) {
        const { cpu, events } = await measure(setup, server);
        const sum = works.get(server) ?? { cpu: 0, events: 0 };
        works.set(server, { cpu: sum.cpu + cpu, events: sum.events + events });
      }
    }
    const perEvent = (server: Server): number => {
      const { cpu, events } = works.get(server) ?? { cpu: 0, events: 0 };
      return cpu / events;
    };
    taken.push({ holt: perEvent(durable), relay: perEvent(bare), events: works.get(durable)?.events ?? 0 });
  }
  await holt.stop();
  return {
    ratio: spreadOf(taken.map(({ holt, relay }) => holt / relay)),
    holtUs: spreadOf(taken.map(({ holt }) => holt)),
    relayUs: spreadOf(taken.map(({ relay }) => relay)),
    events: taken.at(-1)?.events ?? 0,
  };
}

let loads = 0;

/** Opens all streams up to the upstream, then the upstream's gate. */
async function begin(
  setup: Setup,
  server: Server,
  rate: number,
  deltas: number,
): Promise<{ name: string; deltas: number; cpu: number }> {
  loads += 1;
  const name = `load-${loads}`;
  const body = {
    model: `rate=${rate}&events=${deltas}&gate=${name}`,
    input: 'Tell me about otters.',
    stream: true,
    ...(server.background ? { background: true } : {}),
  };
  await setup.client.ask('open', { name, url: server.url, body, streams: STREAMS });
  await allWaiting(setup, name, STREAMS);
  await sleep(SETTLE_MS);
  const cpu = cpuOf(server.pid);
  await setup.upstream.ask('open', { gate: name });
  return { name, deltas, cpu };
}

/** Every stream has its upstream request: nothing of the set-up is left. */
export async function allWaiting(setup: Setup, gate: string, streams: number): Promise<void> {
  const WAIT_MS = 30_000;
  for (const end = performance.now() + WAIT_MS; performance.now() < end; await sleep(20)) {
    if ((await setup.upstream.ask<number>('waiting', { gate })) === streams) return;
  }
  throw new Error(`not all of ${streams} requests came to the upstream within ${WAIT_MS} ms`);
}

async function stamp(setup: Setup, server: Server, name: string): Promise<Work> {
  const events = await setup.client.ask<number>('count', { name });
  return { cpu: cpuOf(server.pid), events };
}
