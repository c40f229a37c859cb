import type { Metrics } from '../domain/metrics.ts';
import type { Clock, Ids, Log, Random, Store, Timer } from '../domain/ports.ts';
import type {
  DeliveryTarget,
  EndpointQueue,
  NextStep,
  PendingDelivery,
  SendResult,
  Webhooks,
} from '../domain/webhook-store.ts';
import { waitMs } from '../domain/wait.ts';
import type { WebhookEvent, WebhookEventType } from '../protocol/webhooks.ts';
import { nextTryAt } from './schedule.ts';
import type { Sender } from './send.ts';

/**
 * Sends what the outbox holds, at least once: an attempt is recorded when it is over, so a process that dies between
 * makes the next one send again, under the same id. The order is nobody's promise.
 */

/** Sockets to one endpoint at once. */
const PER_ENDPOINT = 4;
/** An endpoint that does not answer must not keep those waiting that do: it gets one socket until it answers. */
const WHILE_FAILING = 1;
const IN_ALL = 64;
/** An endpoint that has not taken one delivery for so long is given up. */
const DISABLE_MS = 5 * 86_400_000;
/** The store can't be asked now. */
const RETRY_MS = 1_000;

type Deps = { store: Store; clock: Clock; ids: Ids; random: Random; log: Log; metrics: Metrics; sender: Sender };

export class Deliveries implements Webhooks {
  readonly #deps: Deps;
  readonly #stop = new AbortController();
  /** Attempts under way by the number of the delivery, with that of the endpoint. */
  readonly #underWay = new Map<number, number>();
  readonly #tasks = new Set<Promise<void>>();
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  /** False while no endpoint is enabled: then the end of a response costs nothing here. */
  #enabled = true;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Begins with what an earlier process left. */
  start(): void {
    this.#look();
  }

  /** Attempts under way are broken off: they count as not made. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the server stops'));
    this.#timer?.cancel();
    await this.#looking;
    await Promise.all(this.#tasks);
    await this.#deps.sender.close();
  }

  refusal(url: string): string | undefined {
    return this.#deps.sender.refusal(url);
  }

  test(target: DeliveryTarget, type: WebhookEventType, signal: AbortSignal): Promise<SendResult> {
    const { clock, ids, sender } = this.#deps;
    const event: WebhookEvent = {
      id: ids.item('evt'),
      object: 'event',
      type,
      created_at: Math.floor(clock.now() / 1000),
      data: { id: ids.response(clock.now()) },
    };
    return sender.send(target, event.id, JSON.stringify(event), AbortSignal.any([signal, this.#stop.signal]));
  }

  changed(): void {
    this.#enabled = true;
    this.#look();
  }

  ended(): void {
    if (this.#enabled) this.#look();
  }

  /** Looks into the outbox, once for all who ask while it is looked into. */
  #look(): void {
    this.#lookAgain = true;
    if (!this.#stop.signal.aborted) this.#looking ??= this.#lookWhileAsked();
  }

  /** Never rejects. */
  async #lookWhileAsked(): Promise<void> {
    while (this.#lookAgain && !this.#stop.signal.aborted) {
      this.#lookAgain = false;
      await this.#lookOnce();
    }
    // In the same turn as the question above, so that nobody's wish to look falls in between.
    this.#looking = undefined;
  }

  async #lookOnce(): Promise<void> {
    try {
      const queues = await this.#deps.store.listPending(PER_ENDPOINT);
      if (this.#stop.signal.aborted) return;
      this.#enabled = queues.length > 0;
      this.#startDue(queues);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#deps.log.error({ err: error }, 'the outbox of webhooks can not be read; trying again');
      this.#lookIn(RETRY_MS);
    }
  }

  #startDue(queues: readonly EndpointQueue[]): void {
    const now = this.#deps.clock.now();
    let earliest = Infinity;
    for (const queue of queues) {
      let free = (queue.failing ? WHILE_FAILING : PER_ENDPOINT) - this.#underWayAt(queue.no);
      for (const delivery of queue.pending) {
        if (this.#underWay.has(delivery.no)) continue;
        if (delivery.nextAt > now) {
          earliest = Math.min(earliest, delivery.nextAt);
          break;
        }
        // What finds no place is looked at again when one is free.
        if (free <= 0 || this.#underWay.size >= IN_ALL) break;
        free -= 1;
        this.#start(queue, delivery);
      }
    }
    this.#timer?.cancel();
    if (earliest < Infinity) this.#lookIn(earliest - now);
  }

  #underWayAt(endpointNo: number): number {
    return [...this.#underWay.values()].filter((no) => no === endpointNo).length;
  }

  #lookIn(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#deps.clock.timer(ms, () => {
      this.#look();
    });
  }

  #start({ no, target }: EndpointQueue, delivery: PendingDelivery): void {
    this.#underWay.set(delivery.no, no);
    const task = this.#attempt(target, delivery).finally(() => {
      this.#underWay.delete(delivery.no);
      this.#tasks.delete(task);
      if (!this.#stop.signal.aborted) this.#look();
    });
    this.#tasks.add(task);
  }

  /** Never rejects. */
  async #attempt(target: DeliveryTarget, delivery: PendingDelivery): Promise<void> {
    const { store, clock, log, metrics, sender } = this.#deps;
    const about = { webhook_endpoint_id: target.id, webhook_id: delivery.id };
    try {
      const result = await sender.send(target, delivery.id, delivery.payload, this.#stop.signal);
      const at = clock.now();
      const next = this.#nextStep(delivery, result, at);
      metrics.webhookAttempted(next.state);
      // Why there was no answer names the endpoint's host, which is its owner's matter: the deliveries say it.
      const status = 'status' in result ? result.status : null;
      if (next.state !== 'delivered') log.info({ ...about, status, state: next.state }, 'a webhook was not taken');
      const outcome = await store.recordAttempt(delivery.no, { at, ...result }, next, at - DISABLE_MS);
      if (outcome === 'disabled') log.warn(about, 'no webhook has arrived at this endpoint for days: it is disabled');
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      // Not recorded: it is due as before, and sent again.
      log.error({ ...about, err: error }, 'a webhook could not be sent or recorded');
      await waitMs(clock, RETRY_MS, this.#stop.signal);
    }
  }

  #nextStep(delivery: PendingDelivery, result: SendResult, now: number): NextStep {
    if ('status' in result && result.status >= 200 && result.status < 300) return { state: 'delivered' };
    const nextAt = nextTryAt(delivery.tries + 1, delivery.queuedAt, now, this.#deps.random);
    return nextAt === undefined ? { state: 'failed' } : { state: 'pending', nextAt };
  }
}
