import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { ConfigError } from './config-error.ts';
import type { Environment } from './config-error.ts';

/**
 * Secrets come from the environment or from files, as platforms mount them: `NAME`, or the path of a file in `NAME_FILE`.
 * Never from a flag, since a process list shows those.
 */
export const SECRETS = ['HOLT_API_KEY', 'HOLT_ADMIN_KEY', 'HOLT_UPSTREAM_API_KEY', 'HOLT_SECRET'] as const;
export type SecretName = (typeof SECRETS)[number];

/** Undefined when it is not set, or empty. Throws ConfigError for a file that can't be read, or holds nothing. */
export function secretOf(env: Environment, name: SecretName): string | undefined {
  const value = env[name];
  const file = env[`${name}_FILE`];
  if (file === undefined || file === '') return value === '' ? undefined : value;
  if (value !== undefined && value !== '') throw new ConfigError(`${name} and ${name}_FILE are both set: set one`);
  return readSecret(file, `${name}_FILE`);
}

/** What is in a file, without the line break at its end. @param setting what named the file */
export function readSecret(file: string, setting: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    throw new ConfigError(`${setting}: ${file} can't be read${code}`, { cause: error });
  }
  if (text === '') throw new ConfigError(`${setting}: ${file} is empty`);
  return text;
}

/**
 * The files that hold secrets as the settings say: those that are named for it, and the configuration file if a key is
 * written out in it. For `holt doctor`, which looks who may read them.
 * @param file the configuration file; nothing when it is not there or can't be parsed: whoever starts a server is told
 */
export function secretFiles(file: string, env: Environment): string[] {
  const named = SECRETS.map((name) => env[`${name}_FILE`] ?? '');
  const providers = providersIn(file);
  const ofProviders = providers.map(({ api_key_file: path }) => (typeof path === 'string' ? path : ''));
  const written = providers.some(({ api_key: key }) => typeof key === 'string' && !key.includes('${'));
  return [...named, ...ofProviders, written ? file : ''].filter((path) => path !== '' && !path.includes('${'));
}

function providersIn(file: string): Record<string, unknown>[] {
  let value: unknown;
  try {
    value = parse(readFileSync(file, 'utf8'));
  } catch {
    return [];
  }
  if (!isRecord(value) || !isRecord(value['providers'])) return [];
  return Object.values(value['providers']).filter(isRecord);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
