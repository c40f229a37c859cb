import type { AddressInfo } from 'node:net';
import { adminKeyOf } from './admin-key.ts';
import { makeBackups } from './backup.ts';
import { systemClock } from './clock.ts';
import type { Config, ProviderConfig } from './config.ts';
import type { Clock, Ids, Log, Provider, Random, Store } from './domain/ports.ts';
import type { Seal } from './domain/seal.ts';
import { LocalHints } from './hints/local.ts';
import { makeApp } from './http/app.ts';
import { KEEP_ALIVE_MS } from './http/event-stream.ts';
import { randomIds } from './ids.ts';
import { makeLogger } from './logger.ts';
import { bindModels } from './models.ts';
import { createChatProvider } from './providers/chat/provider.ts';
import { createScriptedProvider } from './providers/scripted/provider.ts';
import { makeSeal, secretOf } from './seal.ts';
import { SqliteStore } from './stores/sqlite/store.ts';
import { makeTokenizer } from './tokenizer.ts';
import { VERSION } from './version.ts';
import { Deliveries } from './webhooks/deliveries.ts';
import type { Lookup } from './webhooks/guard.ts';
import { Sender } from './webhooks/send.ts';
import { Maintenance } from './worker/maintenance.ts';
import { Worker } from './worker/worker.ts';

/** The composition root: the only place that knows every name. Importing it does nothing. */

export type Overrides = {
  clock?: Clock;
  ids?: Ids;
  random?: Random;
  log?: Log;
  keepAliveMs?: number;
  /** Finds the addresses of webhook endpoints. */
  lookup?: Lookup;
  /** Puts something around the store, such as a fault. */
  wrapStore?: (store: Store) => Store;
};

export type Holt = {
  /** Such as `http://127.0.0.1:8484`. */
  url: string;
  /** Takes no new work, lets running responses end for `worker.drain`, hands the rest back, closes. */
  stop(): Promise<void>;
};

/**
 * How long a response that this process should be running, and is not, may stay unnoticed (design.md §8): the lease
 * period. Tombstones are kept twice as long.
 */
const LEASE_MS = 15_000;

/** Resolves when it serves. Rejects when the data directory is in use or unreadable, or the port is taken. */
export async function start(config: Config, overrides: Overrides = {}): Promise<Holt> {
  const clock = overrides.clock ?? systemClock();
  const ids = overrides.ids ?? randomIds();
  const log = overrides.log ?? makeLogger(config.server.log_level);
  const opened = await SqliteStore.open(config.store.data);
  const [seal, adminKey] = await openSecrets(config).catch(async (error: unknown) => {
    await opened.close();
    throw error;
  });
  const store = overrides.wrapStore?.(opened) ?? opened;
  const providers = new Map(
    Object.entries(config.providers).map(([name, settings]) => [
      name,
      makeProvider(name, settings, config.proxy, { clock, log }),
    ]),
  );
  const models = bindModels(config.models, providers);
  const hints = new LocalHints(clock);
  const random = overrides.random ?? Math.random;
  const { allow_http, allow_private } = config.webhooks;
  const sender = new Sender({ http: allow_http, private: allow_private }, clock, overrides.lookup);
  const webhooks = new Deliveries({ store, clock, ids, random, log, sender });
  const worker = new Worker(
    { store, hints, models, seal, clock, ids, random, log, webhooks },
    {
      concurrency: config.worker.concurrency,
      maxAttempts: config.recovery.max_attempts,
      outputLimit: config.limits.output_bytes,
      logRetentionMs: config.retention.log,
      drainMs: config.worker.drain,
    },
  );
  hints.onWatched((id) => {
    worker.watched(id);
  });
  let ready = false;
  const app = makeApp({
    clock,
    ids,
    log,
    apiKey: config.apiKey,
    admin: {
      key: adminKey,
      backup: makeBackups({ data: config.store.data, log, copy: (file, signal) => opened.copyTo(file, signal) }),
    },
    cors: config.server.cors,
    version: VERSION,
    bodyLimit: config.server.body_limit,
    keepAliveMs: overrides.keepAliveMs ?? KEEP_ALIVE_MS,
    ready: () => ready && !worker.stopping,
    responses: {
      store,
      hints,
      runs: worker,
      models,
      seal,
      tokenizer: makeTokenizer(),
      clock,
      ids,
      log,
      webhooks,
      settings: {
        strict: config.server.strict,
        queueMax: config.queue.max,
        concurrency: config.worker.concurrency,
        foregroundWaitMs: config.limits.foreground_wait,
        responseRetentionMs: config.retention.response,
        logRetentionMs: config.retention.log,
      },
    },
  });
  const maintenance = new Maintenance({ store, clock, log, worker, leaseMs: LEASE_MS });

  async function stop(): Promise<void> {
    await maintenance.stop();
    await worker.stop();
    await webhooks.stop();
    await app.close();
    await Promise.all([...providers.values()].map((provider) => provider.close()));
    await store.close();
  }

  try {
    await worker.recover();
    await app.listen({ host: config.server.host, port: config.server.port });
  } catch (error) {
    await stop();
    throw error;
  }
  ready = true;
  webhooks.start();
  const { port } = app.server.address() as AddressInfo; // a TCP server that listens
  const host = config.server.host.includes(':') ? `[${config.server.host}]` : config.server.host;
  return { url: `http://${host}:${port}`, stop };
}

/** One after the other: each is whole before anything is served. */
async function openSecrets({ secrets, adminKey, store }: Config): Promise<[Seal, string]> {
  const [newest, ...older] = secrets;
  const seal = makeSeal(newest === undefined ? [await secretOf(store.data)] : [newest, ...older]);
  return [seal, adminKey ?? (await adminKeyOf(store.data))];
}

function makeProvider(
  name: string,
  settings: ProviderConfig,
  proxy: Config['proxy'],
  deps: { clock: Clock; log: Log },
): Provider {
  switch (settings.kind) {
    case 'chat':
      return createChatProvider(
        {
          name,
          baseUrl: settings.base_url,
          proxy,
          dialect: settings.dialect,
          thinkTags: settings.think_tags,
          ...(settings.api_key === undefined ? {} : { apiKey: settings.api_key }),
        },
        deps,
      );
    case 'scripted':
      return createScriptedProvider(name, deps.clock);
  }
}
