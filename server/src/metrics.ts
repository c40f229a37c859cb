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
  const made = makeInstruments(registry);
  collectDefaultMetrics({ register: registry });
  begin(made, settings);
  const models = new Set(settings.models.filter((name) => name !== '*'));
  return {
    contentType: registry.contentType,
    now: () => performance.now() / 1000,
    responseEnded: (kind, status, model) => {
      made.ended.inc({ kind, status, model: models.has(model) ? model : OTHER });
    },
    firstOutputShown: (kind, seconds) => {
      made.first.observe({ kind }, seconds);
    },
    createCommitted: (seconds) => {
      made.creates.observe(seconds);
    },
    appendsCommitted: ({ seconds, events, bytes }) => {
      made.commits.observe(seconds);
      made.commitEvents.observe(events);
      made.commitBytes.observe(bytes);
    },
    streamOpened: () => {
      made.streams.inc();
    },
    streamClosed: () => {
      made.streams.dec();
    },
    providerAsked: (provider) => {
      made.asked.inc({ provider });
    },
    providerFailed: (provider, row) => {
      made.failures.inc({ provider, error: row });
    },
    providerRetried: (provider) => {
      made.retries.inc({ provider });
    },
    recovered: (policy) => {
      made.recoveries.inc({ policy });
    },
    webhookAttempted: (outcome) => {
      made.webhooks.inc({ outcome });
    },
    requestAnswered: ({ method, route, status }) => {
      made.requests.inc({ method: METHODS.has(method) ? method : OTHER, route, status: statusClass(status) });
    },
    render: async (watched) => {
      await look(made, watched);
      return registry.metrics();
    },
  };
}

type Instruments = ReturnType<typeof makeInstruments>;

function makeInstruments(registry: Registry) {
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
  return {
    build: gauge('holt_build_info', 'Always 1; the version that runs', ['version']),
    queued: gauge('holt_queue_length', 'Background responses that wait for a free slot'),
    running: gauge('holt_responses_running', 'Responses that run in this process', ['kind']),
    slots: gauge('holt_slots', 'Responses that may run at once'),
    free: gauge('holt_slots_free', 'Slots that nothing runs in'),
    ended: counter('holt_responses_ended_total', 'Responses that have ended', ['kind', 'status', 'model']),
    first: histogram(
      'holt_first_output_seconds',
      'From the first output of an upstream to when a reader could have it',
      COMMIT_SECONDS,
      ['kind'],
    ),
    creates: histogram('holt_create_commit_seconds', 'Until a create is durable', COMMIT_SECONDS),
    commits: histogram('holt_commit_seconds', 'Until a group of appends is durable', COMMIT_SECONDS),
    commitEvents: histogram('holt_commit_events', 'Events in a group of appends', COMMIT_EVENTS),
    commitBytes: histogram('holt_commit_bytes', 'Bytes of log in a group of appends', COMMIT_BYTES),
    streams: gauge('holt_streams_open', 'Event streams that somebody reads'),
    asked: counter('holt_provider_requests_total', 'Runs of a turn by a provider', ['provider']),
    failures: counter('holt_provider_errors_total', 'Runs of a turn that failed', ['provider', 'error']),
    retries: counter('holt_provider_retries_total', 'Failed runs that were tried again', ['provider']),
    storeBytes: gauge('holt_store_bytes', 'Bytes on disk', ['file']),
    recoveries: counter('holt_recoveries_total', 'Responses taken over from a dead process', ['policy']),
    webhooks: counter('holt_webhook_attempts_total', 'Attempts to deliver a webhook', ['outcome']),
    requests: counter('holt_http_requests_total', 'HTTP requests answered', ['method', 'route', 'status']),
  };
}

/** A counter that appears with its first increase has no increase that Prometheus could see. */
function begin(made: Instruments, { version, slots, providers }: Settings): void {
  made.build.set({ version }, 1);
  made.slots.set(slots);
  for (const policy of RECOVERIES) made.recoveries.inc({ policy }, 0);
  for (const outcome of WEBHOOK_OUTCOMES) made.webhooks.inc({ outcome }, 0);
  for (const provider of providers) {
    made.asked.inc({ provider }, 0);
    made.retries.inc({ provider }, 0);
  }
}

/** What can only be known by looking. */
async function look(made: Instruments, { worker, store, clock }: Watched): Promise<void> {
  const measured = await measureInTime(store, clock);
  // What is not known now must not look like what was known last.
  made.storeBytes.reset();
  if (measured === undefined) {
    made.queued.remove();
  } else {
    made.queued.set(measured.queued);
    made.storeBytes.set({ file: 'database' }, measured.databaseBytes);
    made.storeBytes.set({ file: 'wal' }, measured.logBytes);
  }
  const load = worker.load();
  made.running.set({ kind: 'background' }, load.background);
  made.running.set({ kind: 'foreground' }, load.foreground);
  made.free.set(load.free);
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
