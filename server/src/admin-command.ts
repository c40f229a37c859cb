import { parseArgs } from 'node:util';
import { readAdminKey } from './admin-key.ts';
import { askAdmin } from './ask-admin.ts';
import { serverOf } from './command-config.ts';
import { ConfigError } from './config.ts';
import type { Environment } from './config.ts';
import { systemClock } from './clock.ts';
import { duration } from './config-units.ts';

export type { ApiKey, ApiKeyWithValue, Project, ResponseListed } from './protocol/admin.ts';
export type { WebhookDelivery, WebhookEndpoint, WebhookEndpointWithSecret } from './protocol/webhooks.ts';

/** Commands that ask a running server to do something: `holt COMMAND ACTION WORDS FLAGS`. */

export type ActionShape = {
  /** What follows the action, by name: `PROJECT`. All of them are needed. */
  words: readonly string[];
  /** Besides those that every action has; one that ends in `*` may be given more than once. */
  flags: readonly string[];
  /** Of the flags, those that are needed. */
  needed?: readonly string[];
};

export type AdminCommand = {
  action: string;
  words: string[];
  /** What was given of the flags. */
  flags: Record<string, string>;
  /** What was given of those that may be given more than once. */
  lists: Record<string, string[]>;
  /** Answers as the server gives them. */
  json: boolean;
  server: { url: string; data: string; adminKey: string | undefined };
};

const COMMON = ['url', 'data', 'config'];

/** Throws ConfigError. */
export function readAdminCommand(
  command: string,
  actions: Record<string, ActionShape>,
  argv: readonly string[],
  env: Environment,
): AdminCommand {
  const [action = '', ...rest] = argv;
  const shape = Object.hasOwn(actions, action) ? actions[action] : undefined;
  if (shape === undefined) {
    const known = Object.keys(actions).join(', ');
    throw new ConfigError(
      `${command}: expected one of ${known}, got ${action === '' ? 'nothing' : action}; see holt help ${command}`,
    );
  }
  const { values, positionals } = parse(`${command} ${action}`, shape, rest);
  if (positionals.length !== shape.words.length) {
    const expected = shape.words.length === 0 ? 'no words' : shape.words.join(' ');
    throw new ConfigError(`${command} ${action}: expected ${expected} before the flags, got ${positionals.length}`);
  }
  const flags: Record<string, string> = {};
  const lists: Record<string, string[]> = {};
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === 'string') flags[name] = value;
    if (Array.isArray(value)) lists[name] = value.map(String);
  }
  for (const name of shape.needed ?? []) {
    if (flags[name] === undefined && lists[name] === undefined) {
      throw new ConfigError(`${command} ${action}: --${name} is missing`);
    }
  }
  return { action, words: positionals, flags, lists, json: values['json'] === true, server: serverOf(flags, env) };
}

function parse(words: string, shape: ActionShape, args: string[]): ReturnType<typeof parseArgs> {
  const text = { type: 'string' } as const;
  const own = shape.flags.map((flag) =>
    flag.endsWith('*') ? ([flag.slice(0, -1), { ...text, multiple: true }] as const) : ([flag, text] as const),
  );
  const options = {
    ...Object.fromEntries(own),
    ...Object.fromEntries(COMMON.map((flag) => [flag, text])),
    json: { type: 'boolean' } as const,
  };
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: true });
  } catch (error) {
    const known = Object.keys(options).map((name) => `--${name}`);
    const said = error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
    throw new ConfigError(`${words}: ${said}; known flags: ${known.join(', ')}`);
  }
}

/** A time to come, as `90 days` or as a date; in Unix seconds. */
export function expiryFrom(name: string, text: string): number {
  const after = duration.safeParse(text);
  const at = after.success ? systemClock().now() + after.data : Date.parse(text);
  if (Number.isNaN(at)) throw wrongFlag(name, "a time such as '90 days' or 2030-01-31", text);
  return Math.floor(at / 1000);
}

/** What is wrong with a flag. */
export function wrongFlag(name: string, expected: string, got: string): Error {
  return new ConfigError(`--${name}: expected ${expected}, got ${got}`);
}

export type AskServer = <T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object) => Promise<T>;

/**
 * Asks the server of a command. What it answers is what its table of `/admin/v1` says; a refusal is thrown in its words.
 * Rejects when `signal` aborts.
 * @param path below `/admin/v1/`
 */
export async function serverFor({ server }: AdminCommand, signal: AbortSignal): Promise<AskServer> {
  const key = server.adminKey ?? (await readAdminKey(server.data));
  return async <T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<T> => {
    const url = new URL(`/admin/v1/${path}`, server.url);
    const answer = await askAdmin({ method, url, key, body, signal }).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`no answer from ${server.url}: ${why}`, { cause: error });
    });
    if (answer.status !== 200) throw new Error(messageIn(answer.body) ?? `${server.url} answered ${answer.status}`);
    return answer.body as T; // as its table says
  };
}

/** The words of a refusal; undefined when something else answered. */
export function messageIn(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('error' in body)) return undefined;
  const { error } = body;
  if (typeof error !== 'object' || error === null || !('message' in error)) return undefined;
  return String(error.message);
}
