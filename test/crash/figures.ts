import { POINTS } from './points.ts';
import type { Point } from './points.ts';

/** What happened in rounds of the torture, counted. */
export type Figures = {
  /** By point and signal. */
  stops: Map<string, number>;
  /** By what clients did. */
  clients: Map<string, number>;
  /** Responses by their end. */
  ends: Map<string, number>;
};

/** The points at which no server was stopped. */
export function missedIn({ stops }: Figures): Point[] {
  const hit = [...stops.keys()];
  return POINTS.filter(({ name }) => !hit.some((stop) => stop.startsWith(`${name} SIG`)));
}

export function noFigures(): Figures {
  return { stops: new Map(), clients: new Map(), ends: new Map() };
}
