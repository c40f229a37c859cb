import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ConfigError, adminKeyOf, readConfigFile } from './config.ts';
import type { Environment } from './config.ts';

/** What the commands beside `serve` are told. As there: flags beat environment beats file beats defaults. */

type Options = Record<string, { type: 'string' }>;

/** Throws ConfigError. */
function readOptions<T extends Options>(argv: readonly string[], options: T): Partial<Record<keyof T, string>> {
  try {
    return parseArgs({ args: [...argv], options, strict: true }).values;
  } catch (error) {
    const known = Object.keys(options).map((name) => `--${name}`);
    const words = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`${words.replace(/\.$/, '')}; known flags: ${known.join(', ')}`);
  }
}

export type DoctorConfig = { data: string };

export function doctorConfig(argv: readonly string[], env: Environment): DoctorConfig {
  const flags = readOptions(argv, { data: { type: 'string' }, config: { type: 'string' } });
  return { data: dataOf(flags, env) };
}

export type BackupConfig = {
  /** Absolute. */
  to: string;
  /** Of the server, without a path. */
  url: string;
  /** Where its own admin key is, when the environment has none. */
  data: string;
  adminKey: string | undefined;
};

export function backupConfig(argv: readonly string[], env: Environment): BackupConfig {
  const text = { type: 'string' } as const;
  const flags = readOptions(argv, { to: text, url: text, data: text, config: text });
  if (flags.to === undefined || flags.to === '') throw new ConfigError('--to DIR is missing: where the backup goes');
  return { to: resolve(flags.to), ...serverOf(flags, env) };
}

type ServerFlags = { url?: string; data?: string; config?: string };

/** Which server a command talks to, and where its admin key is. Throws ConfigError. */
export function serverOf(flags: ServerFlags, env: Environment): Omit<BackupConfig, 'to'> {
  const url = flags.url ?? localUrl(flags.config, env);
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw new ConfigError(`--url: expected an http or https URL, got ${url}`);
  }
  return { url, data: dataOf(flags, env), adminKey: adminKeyOf(env) };
}

function dataOf(flags: { data?: string; config?: string }, env: Environment): string {
  return flags.data ?? env['HOLT_DATA'] ?? readConfigFile(flags.config ?? env['HOLT_CONFIG'], env).store.data;
}

/** Of the server that the same settings start on this machine. */
function localUrl(config: string | undefined, env: Environment): string {
  const { server } = readConfigFile(config ?? env['HOLT_CONFIG'], env);
  const host = env['HOLT_HOST'] ?? server.host;
  const reached = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${env['HOLT_PORT'] ?? server.port}`;
}
