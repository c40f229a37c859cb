import { pino } from 'pino';
import { ApiError } from './domain/errors.ts';
import { BrokenLog } from './domain/fold.ts';
import { StoreUnavailable } from './domain/ports.ts';
import type { Log } from './domain/ports.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** JSON lines on standard error, so that standard output stays for the words a person reads. No content, no keys. */
export function makeLogger(level: LogLevel): Log {
  return pino(
    {
      level,
      base: { name: 'holt' },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { err: describeError },
    },
    pino.destination(2),
  );
}

/** Causes below causes say nothing new, and may be rings. */
const DEPTH = 3;

/**
 * What a log may hold of an error. Its message only where this program wrote all of it: others quote what a client or
 * an upstream has sent, as a JSON parser does, and so do rows of the error table.
 */
export function describeError(error: unknown, depth = DEPTH): object {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = 'code' in error ? error.code : undefined;
  return {
    type: error.constructor.name,
    ...(error instanceof ApiError && { row: error.row }),
    ...(typeof code === 'string' && CODE.test(code) && { code }),
    ...((error instanceof StoreUnavailable || error instanceof BrokenLog) && { message: error.message }),
    ...(!(error instanceof ApiError) && { at: framesOf(error) }),
    ...(error.cause !== undefined && depth > 0 && { cause: describeError(error.cause, depth - 1) }),
  };
}

/** As Node and its libraries name errors; anything else may be somebody's text. */
const CODE = /^[A-Z][A-Z0-9_]{2,40}$/;

/** A stack begins with the message, which may look like frames itself. */
function framesOf({ stack = '', message }: Error): string[] {
  const begin = stack.indexOf(message);
  if (begin < 0) return [];
  return stack
    .slice(begin + message.length)
    .split('\n')
    .filter((line) => /^ {4}at /.test(line))
    .map((line) => line.trim());
}
