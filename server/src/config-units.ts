import { z } from 'zod';

/** Durations and sizes as people write them: `30 s`, `10 min`, `30 days`, `8 MiB`. */

const DURATIONS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  sec: 1_000,
  second: 1_000,
  seconds: 1_000,
  min: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  days: 86_400_000,
};

const SIZES: Record<string, number> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** -> ms */
export const duration = withUnit(DURATIONS, 'a duration such as 500 ms, 30 s, 10 min or 30 days');
/** -> bytes */
export const size = withUnit(SIZES, 'a size such as 512 KiB or 8 MiB');

/** The longest that a timer can wait; Node fires longer ones at once. */
const LONGEST_TIMER_MS = 24 * 86_400_000;

/** What a timer is set to. -> ms */
export const timer = duration.refine((ms) => ms > 0 && ms <= LONGEST_TIMER_MS, {
  error: 'expected more than nothing and at most 24 days',
});

/** What a timer is set to, where not to wait at all is a choice. -> ms */
export const wait = duration.refine((ms) => ms <= LONGEST_TIMER_MS, { error: 'expected at most 24 days' });

/** What is compared with the clock. -> ms */
export const something = duration.refine((ms) => ms > 0, { error: 'expected more than nothing' });

/** A bound that may be left out with `none`. -> null */
export function orNone(bound: z.ZodType<number>): z.ZodType<number | null> {
  return z.union([z.literal('none').transform(() => null), bound]);
}

/** Silent streams are kept alive every 10 s; a client that takes that much is not to be cut. */
const SHORTEST_STALL_MS = 20_000;

/** Of `server`: what connections may take. */
export const CONNECTIONS = {
  headers_timeout: timer.default(30_000),
  // Node's own. A body of 32 MiB needs 1 Mbit/s for it.
  request_timeout: timer.default(300_000),
  stall_timeout: timer
    .refine((ms) => ms >= SHORTEST_STALL_MS, {
      error: 'expected at least 20 s: silent streams are kept alive every 10 s',
    })
    .default(300_000),
  max_connections: z.int().min(1).default(10_000),
};

const money = z
  .number({ error: 'expected a number: money for a million tokens' })
  .min(0, { error: 'expected at least 0' });

/** Of `models.<name>`. */
export const price = z.strictObject({ input: money, cached_input: money.optional(), output: money });

function withUnit(units: Record<string, number>, expected: string): z.ZodType<number> {
  return z.string({ error: `expected ${expected}` }).transform((text, context) => {
    const [, number, unit] = /^\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+)\s*$/.exec(text) ?? [];
    const factor = units[unit ?? ''];
    if (number === undefined || factor === undefined) {
      context.addIssue({ code: 'custom', message: `expected ${expected}` });
      return z.NEVER;
    }
    return Number(number) * factor;
  });
}
