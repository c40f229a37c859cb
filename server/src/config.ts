import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { z } from 'zod';
import { ConfigError } from './config-error.ts';
import type { Environment } from './config-error.ts';
import { readSecret, secretOf } from './config-secrets.ts';
import { CONNECTIONS, duration, orNone, price, size, something, timer, wait } from './config-units.ts';
import type { Limits, Price } from './domain/limits.ts';
import type { Compat, RunLimits } from './domain/ports.ts';
import { RETENTION_MODES } from './domain/retention.ts';
import type { RetentionMode } from './domain/retention.ts';
import { LOG_LEVELS } from './logger.ts';
import { projectLimits } from './protocol/admin.ts';
import type { LogLevel } from './logger.ts';

/**
 * What Holt is told: flags beat environment beats file beats defaults (design.md §12). The only reader of argv and
 * of the environment.
 */

const providerSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('chat'),
    base_url: z.url({ protocol: /^https?$/, error: 'expected an http or https URL' }),
    api_key: z.string().min(1).optional(),
    api_key_file: z.string().min(1).optional(),
    dialect: z.enum(['generic', 'openai']).default('generic'),
    think_tags: z.boolean().default(false),
    timeouts: z
      .strictObject({ connect: timer.optional(), first_byte: timer.optional(), idle: timer.optional() })
      .optional(),
  }),
  z.strictObject({ kind: z.literal('scripted') }),
]);
export type ProviderConfig = z.infer<typeof providerSchema>;
export type ChatTimeouts = Extract<ProviderConfig, { kind: 'chat' }>['timeouts'];

/** Who may read `/metrics`: nobody, everybody, or who may use the API. */
const METRICS = ['off', 'open', 'key'] as const;

const COMPAT = ['strict', 'lenient'] as const satisfies Compat[];

const modelSchema = z.union([
  z.string().min(1),
  z.strictObject({
    provider: z.string(),
    model: z.string().optional(),
    compat: z.enum(COMPAT).optional(),
    limits: z
      .strictObject({ output_bytes: size.optional(), run_time: orNone(timer).optional(), ...projectLimits.shape })
      .optional(),
    price: price.optional(),
  }),
]);

type ModelLimits = NonNullable<Exclude<z.infer<typeof modelSchema>, string>['limits']>;

/** As browsers send it, since it is compared by the letter. */
const origin = z.string().refine(
  (text) => {
    const url = URL.parse(text);
    return url !== null && url.host !== '' && !text.includes('*') && text === `${url.protocol}//${url.host}`;
  },
  { error: 'expected an origin such as https://app.example, without a path' },
);

const fileSchema = z.strictObject({
  server: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1'),
      port: z.int().min(0).max(65_535).default(8484),
      cors: z
        .union([z.literal('none'), z.literal('*'), z.array(origin)], {
          error: 'expected none, "*" or a list of origins such as [https://app.example]',
        })
        .default('none'),
      strict: z.boolean().default(false),
      body_limit: size.default(32 * 1024 * 1024),
      ...CONNECTIONS,
      log_level: z.enum(LOG_LEVELS).default('info'),
      metrics: z.enum(METRICS).default('key'),
    })
    .prefault({}),
  store: z.strictObject({ data: z.string().min(1).default('./data') }).prefault({}),
  worker: z.strictObject({ concurrency: z.int().min(1).default(256), drain: wait.default(30_000) }).prefault({}),
  queue: z
    .strictObject({ max: z.int().min(0).default(10_000), max_wait: orNone(something).default(null) })
    .prefault({}),
  recovery: z
    .strictObject({ max_attempts: z.int().min(1).default(3), on_crash: z.enum(['fail', 'restart']).default('fail') })
    .prefault({}),
  retention: z
    .strictObject({
      mode: z.enum(RETENTION_MODES).default('standard'),
      response: duration.default(30 * 86_400_000),
      log: duration.default(600_000),
      zdr: duration.default(600_000),
    })
    .prefault({}),
  limits: z
    .strictObject({
      output_bytes: size.default(8 * 1024 * 1024),
      run_time: orNone(timer).default(null),
      foreground_wait: wait.default(10_000),
    })
    .prefault({}),
  webhooks: z
    .strictObject({ allow_http: z.boolean().default(false), allow_private: z.boolean().default(false) })
    .prefault({}),
  providers: z.record(z.string().regex(/^[\w-]+$/), providerSchema).default({}),
  models: z.record(z.string().min(1), modelSchema).default({}),
});

export type ModelConfig = {
  provider: string;
  /** Undefined: the name the client asked for. */
  model?: string;
  /** Undefined: strict. */
  compat?: Compat;
  /** Over those of `limits`. */
  limits?: Partial<RunLimits>;
  /** What all who ask it may use together. */
  allowance?: Limits;
  price?: Price;
};

export type Config = Omit<z.infer<typeof fileSchema>, 'models'> & {
  models: Record<string, ModelConfig>;
  apiKey: string | undefined;
  /** Undefined: a key of the data directory's own. */
  adminKey: string | undefined;
  /** What seals encrypted content: the newest first. Empty: a secret of the data directory's own. */
  secrets: string[];
  proxy: { http?: string; https?: string; no?: string };
};

export { ConfigError };
export type { Environment };

const FLAGS = {
  host: { type: 'string' },
  port: { type: 'string' },
  data: { type: 'string' },
  config: { type: 'string' },
  upstream: { type: 'string' },
  compat: { type: 'string' },
  retention: { type: 'string' },
  'log-level': { type: 'string' },
} as const;

/** The process's own arguments and environment. */
export function loadProcessConfig(): Config {
  return loadConfig(process.argv.slice(3), process.env);
}

/** What `read` makes of the process's own arguments, after the command, and environment. */
export function withProcess<T>(read: (argv: readonly string[], env: Environment) => T): T {
  return read(process.argv.slice(3), process.env);
}

/**
 * Throws ConfigError.
 * @param argv flags after the command
 */
export function loadConfig(argv: readonly string[], env: Environment): Config {
  const flags = readFlags(argv, env);
  const file = readConfigFile(flags.config, env);
  const config = merge(file, flags, env);
  checkReferences(config);
  if (config.server.headers_timeout > config.server.request_timeout) {
    throw new ConfigError('server.headers_timeout: expected at most server.request_timeout, which they are a part of');
  }
  return config;
}

type Flags = Partial<Record<keyof typeof FLAGS, string>>;

function readFlags(argv: readonly string[], env: Environment): Flags {
  try {
    const { values } = parseArgs({ args: [...argv], options: FLAGS, strict: true });
    const flags: Flags = {};
    for (const name of Object.keys(FLAGS) as (keyof typeof FLAGS)[]) {
      const value = values[name] ?? env[`HOLT_${name.toUpperCase().replace('-', '_')}`];
      if (value !== undefined) flags[name] = value;
    }
    return flags;
  } catch (error) {
    const known = Object.keys(FLAGS).map((name) => `--${name}`);
    throw new ConfigError(
      `${String(error instanceof Error ? error.message : error)}\nKnown flags: ${known.join(', ')}`,
    );
  }
}

export const DEFAULT_FILE = './holt.yaml';

/** The file as it was named, or the one in the working directory if it is there. Throws ConfigError. */
export function readConfigFile(path: string | undefined, env: Environment): z.infer<typeof fileSchema> {
  const file = path ?? DEFAULT_FILE;
  if (path === undefined && !existsSync(file)) return fileSchema.parse({});
  let value: unknown;
  try {
    value = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new ConfigError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const parsed = fileSchema.safeParse(interpolate(value ?? {}, file, '', env));
  if (parsed.success) return parsed.data;
  throw new ConfigError(
    parsed.error.issues
      .flatMap(within)
      .map((issue) => `${file}: ${describe(issue)}`)
      .join('\n'),
  );
}

/** `${NAME}` in any text is the environment variable of that name, which has to be there. */
function interpolate(value: unknown, file: string, path: string, env: Environment): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(/\$\{(\w+)\}/g, (_, name: string) => {
      const found = env[name];
      if (found === undefined) throw new ConfigError(`${file}: ${path}: the environment variable ${name} is not set`);
      return found;
    });
  }
  if (Array.isArray(value)) return value.map((entry, index) => interpolate(entry, file, `${path}[${index}]`, env));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [
      key,
      interpolate(entry, file, path === '' ? key : `${path}.${key}`, env),
    ]),
  );
}

/** What may be one thing or another, and is nearly one of them, is wrong where it differs from that. */
function within(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  const near =
    issue.code === 'invalid_union' ? issue.errors.find((inner) => inner.every(({ path }) => path.length > 0)) : [];
  if (near === undefined || near.length === 0) return [issue];
  return near.flatMap((inner) => within({ ...inner, path: [...issue.path, ...inner.path] }));
}

function describe(issue: z.core.$ZodIssue): string {
  const path = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => (path === '' ? key : `${path}.${key}`));
    return `${keys.join(', ')}: no such setting in this version`;
  }
  return `${path === '' ? 'the file' : path}: ${issue.message}`;
}

function merge(file: z.infer<typeof fileSchema>, flags: Flags, env: Environment): Config {
  const config: Config = {
    ...file,
    server: { ...file.server },
    store: { ...file.store },
    retention: { ...file.retention },
    models: Object.fromEntries(
      Object.entries(file.models).map(([name, target]) => [name, toModel(target, file.providers)]),
    ),
    providers: Object.fromEntries(
      Object.entries(file.providers).map(([name, provider]) => [name, withKey(name, provider)]),
    ),
    apiKey: secretOf(env, 'HOLT_API_KEY'),
    adminKey: adminKeyOf(env),
    secrets: secretsOf(secretOf(env, 'HOLT_SECRET')),
    proxy: proxyOf(env),
  };
  if (flags.host !== undefined) config.server.host = flags.host;
  if (flags.port !== undefined) config.server.port = portOf(flags.port);
  if (flags.data !== undefined) config.store.data = flags.data;
  if (flags['log-level'] !== undefined) config.server.log_level = logLevelOf(flags['log-level']);
  if (flags.retention !== undefined) config.retention.mode = retentionOf(flags.retention);
  if (flags.upstream !== undefined) addUpstream(config, flags.upstream, secretOf(env, 'HOLT_UPSTREAM_API_KEY'));
  if (Object.keys(config.models).length === 0) bindByDefault(config);
  if (flags.compat !== undefined) setCompat(config, flags.compat);
  return config;
}

/** Shorter ones can be guessed. */
const SECRET_LENGTH = 16;

/** Several, with commas between: the first seals, all of them open. */
function secretsOf(text: string | undefined): string[] {
  const secrets = (text ?? '').split(',').map((secret) => secret.trim());
  const given = secrets.filter((secret) => secret !== '');
  if (given.some((secret) => secret.length < SECRET_LENGTH)) {
    throw new ConfigError(`HOLT_SECRET: each secret needs at least ${SECRET_LENGTH} characters`);
  }
  return given;
}

/** What `/admin/v1` asks for, if it is set. */
export function adminKeyOf(env: Environment): string | undefined {
  const key = secretOf(env, 'HOLT_ADMIN_KEY');
  if (key !== undefined && key.length < SECRET_LENGTH) {
    throw new ConfigError(`HOLT_ADMIN_KEY: expected at least ${SECRET_LENGTH} characters`);
  }
  return key;
}

/** With the key that its file holds. */
function withKey(name: string, provider: ProviderConfig): ProviderConfig {
  if (provider.kind !== 'chat' || provider.api_key_file === undefined) return provider;
  const setting = `providers.${name}.api_key_file`;
  if (provider.api_key !== undefined) throw new ConfigError(`${setting}: api_key is set, too: set one`);
  return { ...provider, api_key: readSecret(provider.api_key_file, setting) };
}

function toModel(target: z.infer<typeof modelSchema>, providers: Record<string, ProviderConfig>): ModelConfig {
  if (typeof target !== 'string') {
    const { provider, model, compat, limits, price } = target;
    return {
      provider,
      ...(model !== undefined && { model }),
      ...(compat !== undefined && { compat }),
      ...(limits !== undefined && splitLimits(limits)),
      ...(price !== undefined && { price }),
    };
  }
  if (target in providers) return { provider: target };
  const slash = target.indexOf('/');
  return slash < 0 ? { provider: target } : { provider: target.slice(0, slash), model: target.slice(slash + 1) };
}

/** What one run may take, and what all of them may. */
function splitLimits({ output_bytes, run_time, ...allowance }: ModelLimits): Pick<ModelConfig, 'limits' | 'allowance'> {
  return {
    limits: {
      ...(output_bytes !== undefined && { outputBytes: output_bytes }),
      ...(run_time !== undefined && { runTimeMs: run_time }),
    },
    allowance,
  };
}

/** `--upstream URL`: a provider that answers every name the file does not bind. */
function addUpstream(config: Config, url: string, apiKey: string | undefined): void {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new ConfigError(`--upstream: expected an http or https URL, got ${url}`);
  }
  config.providers = {
    ...config.providers,
    upstream: {
      kind: 'chat',
      base_url: url,
      dialect: 'generic',
      think_tags: false,
      ...(apiKey === undefined ? {} : { api_key: apiKey }),
    },
  };
  config.models['*'] ??= { provider: 'upstream' };
}

/** `--compat`: for every model that doesn't say otherwise itself. */
function setCompat(config: Config, text: string): void {
  const compat = COMPAT.find((known) => known === text);
  if (compat === undefined) throw new ConfigError(`--compat: expected one of ${COMPAT.join(', ')}, got ${text}`);
  for (const model of Object.values(config.models)) model.compat ??= compat;
}

/** Without `models`: the one provider there is answers every name; the demonstration model only its own. */
function bindByDefault(config: Config): void {
  const names = Object.keys(config.providers);
  const [only] = names;
  if (only === undefined) {
    config.providers = { otter: { kind: 'scripted' } };
    config.models['*'] = { provider: 'otter' };
    config.models['otter'] = { provider: 'otter' };
    return;
  }
  const real = names.filter((name) => config.providers[name]?.kind !== 'scripted');
  if (real.length > 1) {
    throw new ConfigError(
      `models: expected names for the ${real.length} providers ${real.join(', ')}; "*" may name one`,
    );
  }
  if (real[0] !== undefined) config.models['*'] = { provider: real[0] };
  for (const name of names) {
    if (config.providers[name]?.kind === 'scripted') config.models['otter'] = { provider: name };
  }
}

function checkReferences(config: Config): void {
  for (const [name, { provider }] of Object.entries(config.models)) {
    if (!(provider in config.providers)) {
      const known = Object.keys(config.providers);
      throw new ConfigError(
        `models.${name}: expected one of the providers (${known.join(', ') || 'there are none'}), got ${provider}`,
      );
    }
  }
}

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new ConfigError(`--port: expected 0 to 65535, got ${text}`);
  return port;
}

function retentionOf(text: string): RetentionMode {
  const mode = RETENTION_MODES.find((known) => known === text);
  if (mode === undefined)
    throw new ConfigError(`--retention: expected one of ${RETENTION_MODES.join(', ')}, got ${text}`);
  return mode;
}

function logLevelOf(text: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === text);
  if (level === undefined) throw new ConfigError(`--log-level: expected one of ${LOG_LEVELS.join(', ')}, got ${text}`);
  return level;
}

function proxyOf(env: Environment): Config['proxy'] {
  const entries = (['http', 'https', 'no'] as const).flatMap((kind) => {
    const value = nonEmpty(env[`${kind.toUpperCase()}_PROXY`]) ?? nonEmpty(env[`${kind}_proxy`]);
    return value === undefined ? [] : [[kind, value]];
  });
  return Object.fromEntries(entries) as Config['proxy']; // only these three keys
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
