import { readAdminCommand, serverFor, wrongFlag } from '../admin-command.ts';
import type { ActionShape, AdminCommand, AskServer } from '../admin-command.ts';
import { withProcess } from '../config.ts';

/** Commands with actions, such as `holt keys revoke`: what they share. */

export type Done = {
  /** For `--json`. */
  answer: unknown;
  /** For people, on standard output. */
  text: string;
  /** For people, on standard error, so that what a script wants to keep stands alone. */
  note?: string;
};

export type Action = ActionShape & { run(command: AdminCommand, ask: AskServer): Promise<Done> };

export async function runAction(name: string, actions: Record<string, Action>): Promise<number> {
  const command = withProcess((argv, env) => readAdminCommand(name, actions, argv, env));
  const leave = new AbortController();
  process.once('SIGINT', () => {
    leave.abort(new Error('interrupted'));
  });
  const ask = await serverFor(command, leave.signal);
  const done = await actions[command.action]?.run(command, ask);
  if (done === undefined) return 1;
  console.log(command.json ? JSON.stringify(done.answer, null, 2) : done.text);
  if (!command.json && done.note !== undefined) console.error(done.note);
  return 0;
}

type Page<T> = { data: T[]; last_id: string | null; has_more: boolean };

/**
 * The newest `most` of a list.
 * @param path below `/admin/v1/`, with its query if it has one
 */
export async function askForList<T>(ask: AskServer, path: string, most = Number.POSITIVE_INFINITY): Promise<T[]> {
  const found: T[] = [];
  for (let after = ''; found.length < most;) {
    const query = new URLSearchParams({
      limit: String(Math.min(100, most - found.length)),
      ...(after !== '' && { after }),
    });
    const page = await ask<Page<T>>('GET', `${path}${path.includes('?') ? '&' : '?'}${String(query)}`);
    found.push(...page.data);
    if (!page.has_more || page.last_id === null) break;
    after = page.last_id;
  }
  return found;
}

/** A path of ids and names as they were typed. */
export function pathOf(...parts: (string | undefined)[]): string {
  return parts.map((part) => encodeURIComponent(part ?? '')).join('/');
}

/** Columns of text. What others have named is shown, but has no power over a terminal. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...lines.map((row) => row[column]?.length ?? 0)));
  return lines
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function printable(text: string): string {
  return text.replaceAll(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (sign) => `\\u${(sign.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}

/** @param seconds Unix time */
export function timeOf(seconds: number | null, none = '-'): string {
  return seconds === null ? none : `${new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ')}Z`;
}

export function numberFrom(name: string, text: string): number {
  if (!/^-?\d+(\.\d+)?$/.test(text)) throw wrongFlag(name, 'a number', text);
  return Number(text);
}

/** `--limit NAME=NUMBER`, as often as one likes; `--limit none` for no limit at all. Undefined when there is no such flag. */
export function limitsFrom({ lists }: AdminCommand): Record<string, number> | undefined {
  const given = lists['limit'];
  if (given === undefined || given.includes('none')) return given && {};
  return Object.fromEntries(
    given.map((text) => {
      const [, name, number] = /^([a-z_]+)=(\S+)$/.exec(text) ?? [];
      if (name === undefined || number === undefined) {
        throw wrongFlag('limit', 'none, or a limit such as requests_per_minute=60', text);
      }
      return [name, numberFrom('limit', number)];
    }),
  );
}

export function showLimits(limits: object): string {
  const shown = Object.entries(limits).map(([name, limit]) => `${name}=${String(limit)}`);
  return shown.length === 0 ? '-' : shown.join(' ');
}
