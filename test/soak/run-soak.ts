import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RetentionMode } from '../../server/src/domain/retention.ts';
import { ROOT, spawnHolt, temporaryDirectory } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import { Scrape } from '../support/prometheus.ts';
import { Ends } from './ends.ts';
import { Figures, runLoad } from './load.ts';
import type { Load } from './load.ts';
import { leftovers } from './rows.ts';
import { Sampler } from './sample.ts';
import { judge } from './verdict.ts';
import type { Verdict } from './verdict.ts';

/** A real server under a steady load, looked at from outside, then stopped and looked into. */

export type Settings = {
  /** Of the load, warm-up included. */
  ms: number;
  seed: number;
  clients: number;
  /** `retention.mode`; standard unless said otherwise. */
  mode?: RetentionMode;
  /** Instead of the command line: a server that leaks. */
  leaky?: { program: string; env: Record<string, string> };
  /** Ends the load early. */
  signal?: AbortSignal;
  say?: (line: string) => void;
};

export type Report = {
  verdicts: Verdict[];
  figures: Figures;
  /** What went wrong, leaks included; empty when all is well. */
  failures: string[];
  responses: number;
  webhooks: number;
  /** The load had its time, so that something can be said of the halves. */
  whole: boolean;
  /** How long the load went on, and how long after its warm-up. */
  ms: number;
  judgedMs: number;
};

/** Tombstones of responses are kept so long after they were forgotten, twice the lease period, ms. */
const TOMBSTONE_MS = 30_000;
/** A sweep comes once a second, and a busy machine is late. */
const SWEEP_MS = 5_000;
/** What has to come by itself when the load is over, ms. */
const SETTLE_MS = 30_000;
/** Its own bound is ten seconds and the drain; then it is killed, ms. */
const STOP_MS = 60_000;
/** A line on the screen, now and then, ms. */
const SAY_MS = 60_000;
/** Of acts whose response was forgotten meanwhile: more of them, and the load has not seen enough. */
const MOST_OVERTAKEN = 0.05;

type Times = { response: number; log: number; warm: number; period: number };

/**
 * Responses live for a tenth of the run, so that what is forgotten catches up with what is made within the warm-up: a
 * third of the run, but no less than it takes until the first row is gone.
 */
function timesOf(ms: number): Times {
  const response = Math.round(Math.min(Math.max(10_000, ms / 10), 600_000));
  const warm = Math.max(ms / 3, response + TOMBSTONE_MS + SWEEP_MS);
  return { response, log: Math.round(0.8 * response), warm, period: Math.min(Math.max(ms / 180, 500), 2_000) };
}

/** Rejects only when there is no server to speak to. */
export async function soak(settings: Settings): Promise<Report> {
  const times = timesOf(settings.ms);
  if (times.warm >= settings.ms) throw new RangeError(`too short: the warm-up takes ${times.warm / 1_000} s`);
  await using holt = await startServer(times, settings);
  await using ends = await Ends.start(holt);
  const figures = new Figures();
  const { failures } = figures;
  const sampler = new Sampler(holt);
  const { began, ms, whole } = await underLoad({ holt, ends, sampler, figures, times, settings });
  sampler.close();
  const responses = await settle(holt, ends, times, failures);
  failures.push(...(await endOf(holt)));
  const verdicts = judge(sampler.samples, began + times.warm);
  if (whole) failures.push(...leaksIn(verdicts));
  if (figures.overtaken > MOST_OVERTAKEN * figures.acts) {
    failures.push(`${figures.overtaken} acts took longer than their response lived: this machine is too slow`);
  }
  return { verdicts, figures, failures, responses, webhooks: ends.told, whole, ms, judgedMs: ms - times.warm };
}

type Soak = {
  holt: HoltProcess;
  ends: Ends;
  sampler: Sampler;
  figures: Figures;
  times: Times;
  settings: Settings;
};

/** @returns when it began, how long it took, and whether it was not ended before its time */
async function underLoad(soak: Soak): Promise<{ began: number; ms: number; whole: boolean }> {
  const { holt, ends, figures, times, settings } = soak;
  const began = performance.now();
  const time = AbortSignal.timeout(settings.ms);
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, time, ...(settings.signal === undefined ? [] : [settings.signal])]);
  const load: Load = {
    holt,
    ends,
    seed: settings.seed,
    clients: settings.clients,
    forgottenAfterMs: times.log,
    stores: settings.mode !== 'zero_data_retention',
  };
  const loading = runLoad(load, figures, signal).finally(() => {
    over.abort();
  });
  await watch(soak, signal);
  await loading;
  return { began, ms: performance.now() - began, whole: time.aborted };
}

async function startServer(times: Times, { leaky, mode = 'standard' }: Settings): Promise<HoltProcess> {
  const file = join(await temporaryDirectory(), 'holt.yaml');
  const settings = {
    server: { metrics: 'open' },
    // Fewer than clients, so that there is a queue now and then.
    worker: { concurrency: 8, drain: '1 s' },
    retention: { mode, response: `${times.response} ms`, log: `${times.log} ms`, zdr: `${times.response} ms` },
    webhooks: { allow_http: true, allow_private: true },
  };
  await writeFile(file, JSON.stringify(settings)); // JSON is YAML
  return spawnHolt({
    flags: ['--config', file],
    data: await temporaryDirectory(),
    env: { NODE_OPTIONS: `--require "${join(ROOT, 'test/soak/live-heap.ts')}"`, ...leaky?.env },
    ...(leaky === undefined ? {} : { program: leaky.program }),
  });
}

/** Samples until the signal. A server that can't be looked at has a fault of its own. */
async function watch({ sampler, ends, figures, times, settings }: Soak, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  let last = began;
  while (!signal.aborted) {
    try {
      await sampler.take(figures.acts, AbortSignal.any([signal, AbortSignal.timeout(SETTLE_MS)]));
      ends.settle();
    } catch (error) {
      if (!signal.aborted) figures.failures.push(`a look at the server: ${String(error)}`);
    }
    const now = performance.now();
    if (now - last > SAY_MS) {
      last = now;
      const failed = figures.failures.length === 0 ? '' : `, ${figures.failures.length} failures`;
      settings.say?.(`${Math.round((now - began) / 1_000)} s: ${figures.acts} acts${failed}`);
    }
    await sleep(times.period, undefined, { signal }).catch(() => undefined);
  }
}

/**
 * When nobody asks for anything, what runs ends, what has ended is told, and then all of it is forgotten.
 * @returns how many responses there were
 */
async function settle(holt: HoltProcess, ends: Ends, times: Times, failures: string[]): Promise<number> {
  const idle = (scrape: Scrape): boolean =>
    [
      'holt_responses_running{kind="background"}',
      'holt_responses_running{kind="foreground"}',
      'holt_queue_length',
    ].every((series) => scrape.value(series) === 0);
  try {
    const scrape = await Scrape.until(holt, idle, 'everything ends');
    await ends.allTold(AbortSignal.timeout(SETTLE_MS));
    await sleep(times.response + SWEEP_MS);
    return scrape.series('holt_responses_ended_total').reduce((sum, series) => sum + (scrape.value(series) ?? 0), 0);
  } catch (error) {
    failures.push(`after the load: ${String(error)}; ends that no webhook told: ${ends.settle().join()}`);
    return 0;
  }
}

/** Stops the server. @returns what is wrong with how it ended, and with what it left behind */
async function endOf(holt: HoltProcess): Promise<string[]> {
  const { process: server } = holt;
  const wrong: string[] = [];
  if (server.exitCode !== null || server.signalCode !== null) wrong.push('the server had ended by itself');
  else {
    const exited = once(server, 'exit');
    server.kill('SIGTERM');
    const late = setTimeout(() => server.kill('SIGKILL'), STOP_MS);
    await exited;
    clearTimeout(late);
  }
  if (server.exitCode !== 0) wrong.push(`the server ended with ${server.exitCode ?? server.signalCode}`);
  if (holt.errors() !== '') wrong.push(`the server said: ${holt.errors().slice(0, 4_000)}`);
  // Of a server that did not close its database there is nothing to learn.
  if (server.exitCode !== 0) return wrong;
  const left = leftovers(holt.data, Date.now() - TOMBSTONE_MS - SWEEP_MS);
  for (const [what, count] of left) wrong.push(`left in the database: ${count} ${what}`);
  return wrong;
}

function leaksIn(verdicts: readonly Verdict[]): string[] {
  return verdicts.filter(({ flat }) => !flat).map(({ quantity }) => `${quantity}: not flat`);
}
