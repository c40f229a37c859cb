import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Clock, Store } from './domain/ports.ts';
import { RECOVERIES, WEBHOOK_OUTCOMES } from './domain/metrics.ts';
import type { Metrics } from './domain/metrics.ts';
import { waitMs } from './domain/wait.ts';

/**
 * The Metrics port over Prometheus. Labels hold only what the operator or this program wrote: a client's model name
 * that is not configured is `other`, so clients can't make series.
 */

/** What can be looked at when somebody asks. */
export type Watched = {
  worker: { load(): { background: number; foreground: number; free: number } };
  store: Pick<Store, 'measure'>;
  clock: Clock;
};

export type Settings = {
  version: string;
  /** The names that clients may ask for, as configured. */
  models: readonly string[];
  providers: readonly string[];
  /** How many responses may run at once. */
  slots: number;
};

export type PrometheusMetrics = Metrics & {
  /** Of what `render` gives. */
  contentType: string;
  /** What the store does not answer within two seconds is left out. */
  render(watched: Watched): Promise<string>;
};

/** A store that hangs must not make the figures hang that say so. */
const STORE_MS = 2_000;

/** From a commit on a fast disk to a disk that is in trouble, seconds. */
const COMMIT_SECONDS = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 5, 10];
const COMMIT_EVENTS = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000];
const COMMIT_BYTES = [100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 10_000_000];

/** Those that are served. A client may send any word that its HTTP library lets through. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'DELETE', 'OPTIONS']);
const OTHER = 'other';

export function makeMetrics(settings: Settings): PrometheusMetrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
    new Counter({ name, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> =>
    new Gauge({ name, help, labelNames, registers });
  const histogram = <L extends string>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly L[] = [],
  ): Histogram<L> => new Histogram({ name, help, buckets: [...buckets], labelNames, registers });

  const build = gauge('holt_build_info', 'Always 1; the version that runs', ['version']);
  const queued = gauge('holt_queue_length', 'Background responses that wait for a free slot');
  const running = gauge('holt_responses_running', 'Responses that run in this process', ['kind']);
  const slots = gauge('holt_slots', 'Responses that may run at once');
  const free = gauge('holt_slots_free', 'Slots that nothing runs in');
  const ended = counter('holt_responses_ended_total', 'Responses that have ended', ['kind', 'status', 'model']);
  const first = histogram(
    'holt_first_output_seconds',
    'From the first output of an upstream to when a reader could have it',
    COMMIT_SECONDS,
    ['kind'],
  );
  const creates = histogram('holt_create_commit_seconds', 'Until a create is durable', COMMIT_SECONDS);
  const commits = histogram('holt_commit_seconds', 'Until a group of appends is durable', COMMIT_SECONDS);
  const commitEvents = histogram('holt_commit_events', 'Events in a group of appends', COMMIT_EVENTS);
  const commitBytes = histogram('holt_commit_bytes', 'Bytes of log in a group of appends', COMMIT_BYTES);
  const streams = gauge('holt_streams_open', 'Event streams that somebody reads');
  const asked = counter('holt_provider_requests_total', 'Runs of a turn by a provider', ['provider']);
  const failures = counter('holt_provider_errors_total', 'Runs of a turn that failed', ['provider', 'error']);
  const retries = counter('holt_provider_retries_total', 'Failed runs that were tried again', ['provider']);
  const storeBytes = gauge('holt_store_bytes', 'Bytes on disk', ['file']);
  const recoveries = counter('holt_recoveries_total', 'Responses taken over from a dead process', ['policy']);
  const webhooks = counter('holt_webhook_attempts_total', 'Attempts to deliver a webhook', ['outcome']);
  const requests = counter('holt_http_requests_total', 'HTTP requests answered', ['method', 'route', 'status']);
  collectDefaultMetrics({ register: registry });

  build.set({ version: settings.version }, 1);
  slots.set(settings.slots);
  // A counter that appears with its first increase has no increase that Prometheus could see.
  for (const policy of RECOVERIES) recoveries.inc({ policy }, 0);
  for (const outcome of WEBHOOK_OUTCOMES) webhooks.inc({ outcome }, 0);
  for (const provider of settings.providers) {
    asked.inc({ provider }, 0);
    retries.inc({ provider }, 0);
  }
  const models = new Set(settings.models.filter((name) => name !== '*'));

  return {
    contentType: registry.contentType,
    now: () => performance.now() / 1000,
    responseEnded: (kind, status, model) => {
      ended.inc({ kind, status, model: models.has(model) ? model : OTHER });
    },
    firstOutputShown: (kind, seconds) => {
      first.observe({ kind }, seconds);
    },
    createCommitted: (seconds) => {
      creates.observe(seconds);
    },
    appendsCommitted: ({ seconds, events, bytes }) => {
      commits.observe(seconds);
      commitEvents.observe(events);
      commitBytes.observe(bytes);
    },
    streamOpened: () => {
      streams.inc();
    },
    streamClosed: () => {
      streams.dec();
    },
    providerAsked: (provider) => {
      asked.inc({ provider });
    },
    providerFailed: (provider, row) => {
      failures.inc({ provider, error: row });
    },
    providerRetried: (provider) => {
      retries.inc({ provider });
    },
    recovered: (policy) => {
      recoveries.inc({ policy });
    },
    webhookAttempted: (outcome) => {
      webhooks.inc({ outcome });
    },
    requestAnswered: ({ method, route, status }) => {
      requests.inc({ method: METHODS.has(method) ? method : OTHER, route, status: statusClass(status) });
    },
    render: async ({ worker, store, clock }) => {
      const measured = await measureInTime(store, clock);
      // What is not known now must not look like what was known last.
      storeBytes.reset();
      if (measured === undefined) {
        queued.remove();
      } else {
        queued.set(measured.queued);
        storeBytes.set({ file: 'database' }, measured.databaseBytes);
        storeBytes.set({ file: 'wal' }, measured.logBytes);
      }
      const load = worker.load();
      running.set({ kind: 'background' }, load.background);
      running.set({ kind: 'foreground' }, load.foreground);
      free.set(load.free);
      return registry.metrics();
    },
  };
}

async function measureInTime(
  store: Watched['store'],
  clock: Clock,
): Promise<Awaited<ReturnType<Store['measure']>> | undefined> {
  const answered = new AbortController();
  try {
    return await Promise.race([
      store.measure().catch(() => undefined),
      waitMs(clock, STORE_MS, answered.signal).then(() => undefined),
    ]);
  } finally {
    answered.abort();
  }
}

function statusClass(status: number | undefined): string {
  return status === undefined ? 'left' : `${Math.floor(status / 100)}xx`;
}
