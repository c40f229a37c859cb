import type { Random } from '../support/random.ts';
import { POINTS } from './points.ts';
import type { Point, Stop } from './points.ts';
import { momentOf } from './round.ts';

/** What is going to be done to one server. */
export type LifePlan = {
  stops: Stop[];
  /** What ends it when no stop has; without a moment, when its clients are done. */
  act: 'SIGKILL' | 'SIGTERM';
  moment: [string, number] | undefined;
  /** Whether it is stopped and continued before. */
  pause: boolean;
  /** So long after a SIGTERM it is killed all the same. */
  killAfterMs: number | undefined;
  duringMs: number;
};

/** Where the first server of a directory can be stopped, and where a later one, which finds orphans. */
const FIRST = POINTS.toSorted((a, b) => Number(b.old ?? false) - Number(a.old ?? false)).filter(
  ({ old, phase }) => old === true || phase !== 'boot',
);
const LATER = POINTS.filter(({ old }) => old !== true);

/**
 * Seeds in a row go through all points; chance does the rest.
 * @param aim the one point of all servers that come by it
 */
export function planLife(random: Random, seed: number, life: number, clients: number, aim?: Point): LifePlan {
  const deck = life === 0 ? FIRST : LATER;
  const place = life === 0 ? seed : seed * 2 + life;
  const chosen = deck[place % deck.length] ?? random.pick(deck);
  const point = aim !== undefined && deck.includes(aim) ? aim : chosen;
  const stops = [stopAt(random, point)];
  const served = LATER.filter(({ phase }) => phase === undefined);
  // On the way there it may sleep somewhere else.
  if (random.chance(0.4)) stops.push({ ...stopAt(random, random.pick(served)), signal: 'SIGSTOP' });
  const terminates = point.phase === 'stop' || random.chance(0.2);
  return {
    stops,
    act: terminates ? 'SIGTERM' : 'SIGKILL',
    moment: point.phase === 'stop' || random.chance(0.3) ? momentOf(random, clients) : undefined,
    pause: random.chance(0.15),
    killAfterMs: terminates && point.phase !== 'stop' && random.chance(0.4) ? random.below(60) : undefined,
    duringMs: random.below(6),
  };
}

function stopAt(random: Random, { name, most, phase, at }: Point): Stop {
  const nth = 1 + random.below(most);
  const gentle = phase === undefined && random.chance(0.15);
  const signal = gentle ? 'SIGTERM' : random.chance(0.15) ? 'SIGSTOP' : 'SIGKILL';
  const lingers = (at === 'commit' || at === 'statement') && random.chance(0.5);
  return { point: name, nth, signal, lingerMs: lingers ? random.below(40) : 0 };
}
