import { parseArgs } from 'node:util';
import { raceDeletes } from './race-deletes.ts';
import { LOCAL } from '../contract/webhook-endpoint.ts';
import { raceCancels } from '../contract/race.ts';
import { startHolt } from '../support/holt.ts';
import { pointOf } from './points.ts';
import { missedIn, noFigures } from './figures.ts';
import { makeKit, tortureRound } from './torture-round.ts';
import type { Figures } from './figures.ts';

/** `npm run torture`: see README.md beside this file. */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    at: { type: 'string' },
    width: { type: 'string', default: '2' },
    'cancel-races': { type: 'string', default: '0' },
    'delete-races': { type: 'string', default: '0' },
  },
});

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const began = performance.now();
const seconds = (): string => `${((performance.now() - began) / 1_000).toFixed(0)} s`;

async function rounds(): Promise<boolean> {
  const wanted = Number(values.rounds);
  const first = Number(values.seed ?? Math.floor(Math.random() * 1e9));
  const until = values.minutes === undefined ? Infinity : began + Number(values.minutes) * 60_000;
  const kit = await makeKit(AbortSignal.timeout(60_000));
  const aim = values.at === undefined ? undefined : pointOf(values.at);
  const figures = noFigures();
  let begun = 0;
  let done = 0;
  const failures: unknown[] = [];
  say(`${wanted} rounds from seed ${first}`);
  const lane = async (): Promise<void> => {
    while (begun < wanted && failures.length === 0 && performance.now() < until) {
      const seed = first + begun;
      begun += 1;
      await tortureRound(kit, seed, figures, aim).catch((error: unknown) => {
        failures.push(error);
      });
      done += 1;
      if (done % 10 === 0) say(`${done} rounds, ${total(figures.stops)} stops, ${seconds()}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(wanted, Number(values.width)) }, lane));
  for (const failure of failures) say(`\nFAILED: ${failure instanceof Error ? failure.message : String(failure)}`);
  report(done, figures);
  return failures.length === 0;
}

function report(done: number, figures: Figures): void {
  const { stops, clients, ends } = figures;
  const of = (name: string): number => clients.get(name) ?? 0;
  say(`\n${done} rounds in ${seconds()}: ${total(stops)} stops`);
  for (const [stop, times] of [...stops].toSorted(([a], [b]) => a.localeCompare(b)))
    say(`${String(times).padStart(7)}  ${stop}`);
  const missed = missedIn(figures).map(({ name }) => name);
  say(`points that were not reached: ${missed.join('; ') || 'none'}`);
  say(
    `clients: ${of('created')} creates, ${of('frame')} events seen, ${of('resumed')} resumes, ${of('polled')} polls, ` +
      `${of('cancel answered')} cancels of ${of('cancel sent')}, ${of('delete answered')} deletes of ${of('delete sent')}`,
  );
  say(`ends: ${[...ends].map(([end, times]) => `${times} ${end}`).join(', ')}`);
}

function total(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, one) => sum + one, 0);
}

async function races(): Promise<void> {
  const cancels = Number(values['cancel-races']);
  const deletes = Number(values['delete-races']);
  if (cancels > 0) {
    await using holt = await startHolt(LOCAL);
    say(
      `${cancels} cancels against completion: ${JSON.stringify(Object.fromEntries(await raceCancels(holt, cancels)))}, ${seconds()}`,
    );
  }
  if (deletes > 0) {
    say(
      `${deletes} deletes against a running owner: ${JSON.stringify(Object.fromEntries(await raceDeletes(deletes)))}, ${seconds()}`,
    );
  }
}

await races();
if (Number(values.rounds) > 0 && !(await rounds())) process.exitCode = 1;
