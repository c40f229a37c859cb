import type { AddressInfo } from 'node:net';
import { adminKeyOf } from './admin-key.ts';
import { makeBackups } from './backup.ts';
import { systemClock } from './clock.ts';
import { ConfigError } from './config.ts';
import type { ChatTimeouts, Config, ProviderConfig } from './config.ts';
import { isLoopback } from './domain/loopback.ts';
import type { Clock, Ids, Log, Provider, Random, Store } from './domain/ports.ts';
import type { Seal } from './domain/seal.ts';
import { waitMs } from './domain/wait.ts';
import { LocalHints } from './hints/local.ts';
import { makeApp } from './http/app.ts';
import type { ConnectionLimits } from './http/connections.ts';
import { KEEP_ALIVE_MS } from './http/event-stream.ts';
import { randomIds } from './ids.ts';
import { makeLogger } from './logger.ts';
import { NO_METRICS } from './domain/metrics.ts';
import { makeMetrics } from './metrics.ts';
import type { PrometheusMetrics } from './metrics.ts';
import { bindModels, pricesOf } from './models.ts';
import { ProcessLimiter } from './limits/limiter.ts';
import { KnownProjects } from './projects/known.ts';
import type { Timeouts } from './providers/chat/exchange.ts';
import { createChatProvider } from './providers/chat/provider.ts';
import { createScriptedProvider } from './providers/scripted/provider.ts';
import { makeSeal, secretOf } from './seal.ts';
import { SqliteStore } from './stores/sqlite/store.ts';
import { makeTokenizer } from './tokenizer.ts';
import { VERSION } from './version.ts';
import { Deliveries } from './webhooks/deliveries.ts';
import type { Lookup } from './webhooks/guard.ts';
import { Sender } from './webhooks/send.ts';
import { ForgetProjects } from './worker/forget-projects.ts';
import { Maintenance } from './worker/maintenance.ts';
import { Readiness } from './worker/readiness.ts';
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
  /** Stand in for the configured ones of their name. */
  providers?: readonly Provider[];
  /** Puts something around the store, such as a fault. */
  wrapStore?: (store: Store) => Store;
};

export type Holt = {
  /** Such as `http://127.0.0.1:8484`. */
  url: string;
  /** Whether clients needed a key when it began to serve. */
  keyed: boolean;
  /**
   * Takes no new work, lets running responses end for `worker.drain`, hands the rest back, closes. Rejects with
   * StopOverdue when that can't be done in time; then only the end of the process ends everything.
   */
  stop(): Promise<void>;
  /** Resolves with what to say of it when the store has died. Nothing can be served any more: end the process. */
  broken: Promise<string>;
};

/** Something that a stop waits for does not answer. What is durable is not touched by ending the process. */
export class StopOverdue extends Error {}

/**
 * How long a response that this process should be running, and is not, may stay unnoticed (design.md §8): the lease
 * period. Tombstones are kept twice as long.
 */
const LEASE_MS = 15_000;

/** After the drain: to flush, hand back and close takes milliseconds, and a disk in trouble may need some seconds. */
const STOP_MARGIN_MS = 10_000;

/** Resolves when it serves. Rejects when the data directory is in use or unreadable, or the port is taken. */
export async function start(config: Config, overrides: Overrides = {}): Promise<Holt> {
  const clock = overrides.clock ?? systemClock();
  const ids = overrides.ids ?? randomIds();
  const log = overrides.log ?? makeLogger(config.server.log_level);
  const prometheus = config.server.metrics === 'off' ? undefined : metricsOf(config);
  const metrics = prometheus ?? NO_METRICS;
  const opened = await SqliteStore.open(config.store.data);
  const [seal, adminKey] = await prepare(config, opened).catch(async (error: unknown) => {
    await opened.close();
    throw error;
  });
  const store = overrides.wrapStore?.(opened) ?? opened;
  const known = new KnownProjects({ store, clock, log });
  const providers = new Map(
    Object.entries(config.providers).map(([name, settings]) => [
      name,
      makeProvider(name, settings, config.proxy, { clock, log }),
    ]),
  );
  for (const provider of overrides.providers ?? []) providers.set(provider.name, provider);
  const models = bindModels(config.models, providers);
  const limiter = new ProcessLimiter({ store, projects: known, clock, log, prices: pricesOf(config.models) });
  const hints = new LocalHints(clock);
  const random = overrides.random ?? Math.random;
  const { allow_http, allow_private } = config.webhooks;
  const sender = new Sender({ http: allow_http, private: allow_private }, clock, overrides.lookup);
  const webhooks = new Deliveries({ store, clock, ids, random, log, metrics, sender });
  const worker = new Worker(
    { store, hints, models, seal, clock, ids, random, log, metrics, webhooks, limiter },
    {
      concurrency: config.worker.concurrency,
      crash: { maxAttempts: config.recovery.max_attempts, onCrash: config.recovery.on_crash },
      limits: { outputBytes: config.limits.output_bytes, runTimeMs: config.limits.run_time },
      logRetentionMs: config.retention.log,
      zdrRetentionMs: config.retention.zdr,
      drainMs: config.worker.drain,
      maxWaitMs: config.queue.max_wait,
    },
  );
  hints.onWatched((id) => {
    worker.watched(id);
  });
  const forgetProjects = new ForgetProjects({ store, hints, clock, log, worker });
  let ready = false;
  const broken = opened.died.then((why) => {
    worker.takeNoMore();
    log.error({ reason: why }, 'the store has died');
    // Who waits for an answer would wait for ever.
    app.server.closeAllConnections();
    return why;
  });
  const readiness = new Readiness({ store, clock });
  const app = makeApp({
    clock,
    ids,
    log,
    metrics,
    exposition: prometheus && {
      access: config.server.metrics === 'open' ? 'open' : 'key',
      contentType: prometheus.contentType,
      render: () => prometheus.render({ worker, store, clock }),
    },
    apiKey: config.apiKey,
    keys: known,
    loopback: isLoopback(config.server.host),
    admin: {
      key: adminKey,
      projects: {
        store,
        clock,
        ids,
        known,
        forget: () => {
          forgetProjects.run();
        },
      },
      backup: makeBackups({
        data: config.store.data,
        log,
        copy: (file, signal) => opened.copyTo(file, signal),
        record: (to) => store.recordAudit({ at: clock.now(), action: 'backup.create', target: to, detail: {} }),
      }),
    },
    cors: config.server.cors,
    version: VERSION,
    bodyLimit: config.server.body_limit,
    connections: connectionsOf(config.server),
    keepAliveMs: overrides.keepAliveMs ?? KEEP_ALIVE_MS,
    unready: async () => {
      if (!ready || worker.stopping) return 'starting or stopping';
      return (await readiness.check()) ? undefined : 'the store takes no new work: its disk is full or fails';
    },
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
      metrics,
      webhooks,
      projects: known,
      limiter,
      settings: {
        strict: config.server.strict,
        queueMax: config.queue.max,
        concurrency: config.worker.concurrency,
        foregroundWaitMs: config.limits.foreground_wait,
        responseRetentionMs: config.retention.response,
        logRetentionMs: config.retention.log,
        retention: config.retention.mode,
      },
    },
  });
  let maintenance: Maintenance | undefined;

  async function stop(): Promise<void> {
    const inTime = new AbortController();
    const bound = waitMs(clock, config.worker.drain + STOP_MARGIN_MS, inTime.signal).then(() => {
      if (!inTime.signal.aborted)
        throw new StopOverdue('The store or an upstream does not answer: ended without them.');
    });
    try {
      await Promise.race([stopAll(), bound]);
    } finally {
      inTime.abort();
    }
  }

  async function stopAll(): Promise<void> {
    worker.takeNoMore();
    await maintenance?.stop();
    await forgetProjects.stop();
    await worker.stop();
    await webhooks.stop();
    await app.close();
    await worker.handBack();
    await known.flush();
    await Promise.all([...providers.values()].map((provider) => provider.close()));
    await store.close();
  }

  try {
    await worker.recover();
    await known.load();
    // Not before: what is being taken over would look like nobody's.
    const chores = [() => forgetProjects.run(), () => void known.flush()];
    maintenance = new Maintenance({ store, clock, log, worker, chores, leaseMs: LEASE_MS });
    await app.listen({ host: config.server.host, port: config.server.port });
  } catch (error) {
    await stop();
    throw error;
  }
  ready = true;
  webhooks.start();
  const { port } = app.server.address() as AddressInfo; // a TCP server that listens
  const host = config.server.host.includes(':') ? `[${config.server.host}]` : config.server.host;
  const keyed = config.apiKey !== undefined || (await known.hasKeys());
  return { url: `http://${host}:${port}`, keyed, stop, broken };
}

function metricsOf({ models, providers, worker }: Config): PrometheusMetrics {
  return makeMetrics({
    version: VERSION,
    models: Object.keys(models),
    providers: Object.keys(providers),
    slots: worker.concurrency,
  });
}

/** Before anything is made in the directory: a server that others can reach is not for everybody. */
async function prepare(config: Config, store: Store): Promise<[Seal, string]> {
  const { host } = config.server;
  if (config.apiKey === undefined && !isLoopback(host) && !(await store.hasKeys())) {
    throw new ConfigError(
      `Holt would listen on ${host}, where others can reach it, without an API key. Set HOLT_API_KEY, make a key for a project while it listens on 127.0.0.1, or stay there.`,
    );
  }
  return openSecrets(config);
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
          timeouts: timeoutsOf(settings.timeouts),
          ...(settings.api_key === undefined ? {} : { apiKey: settings.api_key }),
        },
        deps,
      );
    case 'scripted':
      return createScriptedProvider(name, deps.clock);
  }
}

function timeoutsOf({ connect, first_byte, idle }: ChatTimeouts = {}): Partial<Timeouts> {
  return {
    ...(connect !== undefined && { connectMs: connect }),
    ...(first_byte !== undefined && { headersMs: first_byte }),
    ...(idle !== undefined && { idleMs: idle }),
  };
}

function connectionsOf(server: Config['server']): ConnectionLimits {
  return {
    headersMs: server.headers_timeout,
    requestMs: server.request_timeout,
    stallMs: server.stall_timeout,
    max: server.max_connections,
  };
}
