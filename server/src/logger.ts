import { pino } from 'pino';
import type { Log } from './domain/ports.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** JSON lines on standard error, so that standard output stays for the words a person reads. No content, no keys. */
export function makeLogger(level: LogLevel): Log {
  return pino({ level, base: { name: 'holt' }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination(2));
}
