import type { Assembler } from '../domain/assembler.ts';
import type { Metrics } from '../domain/metrics.ts';
import type { Clock, Log, Provider, Random, RunLimits, Turn } from '../domain/ports.ts';
import type { UpstreamEvent, UpstreamFailure } from '../domain/upstream-event.ts';
import { dropOldest } from '../domain/truncate-items.ts';
import { waitMs } from '../domain/wait.ts';
import { RunTime } from './run-time.ts';

/**
 * Runs one response: provider -> assembler -> log. Tries again in silence as long as nothing has come out of it
 * (upstream.md §3c), and ends the response whatever happens, except when it was aborted: then somebody else ends it.
 */

export type RunningResponse = {
  id: string;
  assembler: Assembler;
  provider: Pick<Provider, 'name' | 'run'>;
  turn: Turn;
  signal: AbortSignal;
  /** Takes what the assembler emitted. A promise, when the upstream has to wait. */
  flush(): Promise<void> | undefined;
  /** The upstream has begun to answer. */
  accepted(): void;
  /** The first output was read, at these seconds of Metrics.now; the next `flush` holds it. Once a try. */
  firstOutput(at: number): void;
  /** Nothing came out, and no further try will be made. True: whoever waits was told, nothing is to be logged. */
  refused(failure: UpstreamFailure): boolean;
  retries: RetryPolicy;
  limits: RunLimits;
};

export type RetryPolicy = { retries: number; totalMs: number };
/** Up to eight tries within a quarter of an hour, since nobody holds a connection open for it. */
export const BACKGROUND_RETRIES: RetryPolicy = { retries: 7, totalMs: 15 * 60_000 };
/** Somebody waits. */
export const FOREGROUND_RETRIES: RetryPolicy = { retries: 2, totalMs: 30_000 };
const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 30_000;

type Deps = { clock: Clock; random: Random; log: Log; metrics: Metrics };

/** Never rejects. */
export async function runResponse(deps: Deps, run: RunningResponse): Promise<void> {
  const time = new RunTime(deps.clock, run.limits.runTimeMs, run.signal);
  try {
    await tryUntilDone(deps, run, time);
  } catch (error) {
    if (run.signal.aborted) return;
    deps.log.error({ err: error, response_id: run.id }, 'a run failed by a fault of this server');
    if (!run.assembler.ended)
      run.assembler.fail('server_error', 'The server had an error while running this response.');
  } finally {
    time.end();
  }
  if (!run.signal.aborted) await run.flush();
}

async function tryUntilDone(deps: Deps, run: RunningResponse, time: RunTime): Promise<void> {
  const startedAt = deps.clock.now();
  let { turn } = run;
  for (let retry = 0; ; retry += 1) {
    let failure = await runOnce(deps, run, turn, time);
    while (failure !== undefined && !time.signal.aborted) {
      const shorter = truncate(run, turn, failure);
      if (shorter === undefined) break;
      deps.log.info({ response_id: run.id, items: shorter.items.length }, 'input too long; without its oldest items');
      turn = shorter;
      failure = await runOnce(deps, run, turn, time);
    }
    if (run.signal.aborted) return;
    if (time.over) failure = tooLong(run.limits.runTimeMs ?? 0);
    if (failure === undefined) {
      run.assembler.finish();
      return;
    }
    const delay = Math.max(backoffMs(retry, deps.random), failure.retryAfterMs ?? 0);
    const inTime = deps.clock.now() + delay - startedAt <= run.retries.totalMs;
    if (run.assembler.hasOutput || !failure.retryable || retry >= run.retries.retries || !inTime) {
      if (run.assembler.hasOutput || !run.refused(failure)) run.assembler.fail(failure.code, failure.message);
      return;
    }
    deps.log.info(
      { response_id: run.id, code: failure.code, retry: retry + 1, delay_ms: delay },
      'upstream failed; trying again',
    );
    deps.metrics.providerRetried(run.provider.name);
    await waitMs(deps.clock, delay, time.signal);
  }
}

/** `truncation: auto`: the same turn with a shorter input, when the upstream says that it was too long. */
function truncate(run: RunningResponse, turn: Turn, failure: UpstreamFailure): Turn | undefined {
  if (failure.row !== 'context_length_exceeded' || turn.request.truncation !== 'auto') return undefined;
  if (run.assembler.hasOutput) return undefined;
  const items = dropOldest(turn.items);
  if (items === undefined) return undefined;
  // Another body under the same key would be a fault to an upstream that looks at keys.
  return { ...turn, items, idempotencyKey: `${run.turn.idempotencyKey}-${items.length}` };
}

/** The failure that ended the try, or undefined when the upstream finished, or was stopped. */
async function runOnce(
  { metrics, log }: Deps,
  run: RunningResponse,
  turn: Turn,
  time: RunTime,
): Promise<UpstreamFailure | undefined> {
  const { name } = run.provider;
  metrics.providerAsked(name);
  let bytes = run.assembler.outputLength; // a lower bound of what earlier runs left
  for await (const batch of run.provider.run(turn, time.signal)) {
    const first = run.assembler.hasOutput ? undefined : metrics.now();
    let failure: UpstreamFailure | undefined;
    for (const event of batch) {
      if (event.type === 'error') {
        failure = event;
        metrics.providerFailed(name, event.row);
        log.debug({ response_id: run.id, provider: name, error: event.row }, 'a provider failed');
      }
      if (event.type === 'finish') time.end();
      bytes += outputBytes(event);
      if (bytes > run.limits.outputBytes) failure = tooLarge(run.limits.outputBytes);
      if (failure !== undefined) break;
      run.assembler.push(event);
    }
    if (failure === undefined) run.accepted();
    if (first !== undefined && run.assembler.hasOutput) run.firstOutput(first);
    const paused = run.flush();
    if (paused !== undefined) await time.wait(paused);
    if (failure !== undefined || time.signal.aborted) return failure;
  }
  return undefined;
}

/** Neither is worth another try: it would take as long, and be as large. */
function tooLong(ms: number): UpstreamFailure {
  return failed(`The response took longer than the ${ms / 1000} seconds this server gives its model.`);
}

function tooLarge(bytes: number): UpstreamFailure {
  return failed(`The response is longer than the ${bytes} bytes this server keeps.`);
}

function failed(message: string): UpstreamFailure {
  return { code: 'server_error', message, retryable: false, row: 'upstream_failed' };
}

/** A new call is an item, and takes memory before it has any arguments. */
const CALL_BYTES = 256;

/** What an event adds to a response, about. */
function outputBytes(event: UpstreamEvent): number {
  switch (event.type) {
    case 'text':
      return (
        Buffer.byteLength(event.delta) + (event.logprobs === undefined ? 0 : JSON.stringify(event.logprobs).length)
      );
    case 'reasoning':
    case 'refusal':
      return Buffer.byteLength(event.delta);
    case 'tool_call':
      return (
        event.received ??
        (event.arguments ? Buffer.byteLength(event.arguments) : CALL_BYTES + (event.name?.length ?? 0))
      );
    case 'annotation':
      return JSON.stringify(event.annotation).length;
    case 'meta':
    case 'usage':
    case 'finish':
    case 'error':
    case 'alive':
      return 0;
  }
}

/** Full jitter, so that many runs that failed together don't come back together. */
function backoffMs(retry: number, random: Random): number {
  return Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** retry) * random();
}
