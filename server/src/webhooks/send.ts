import { Agent } from 'undici';
import type { Dispatcher } from 'undici';
import type { Clock } from '../domain/ports.ts';
import type { DeliveryTarget, SendResult } from '../domain/webhook-store.ts';
import { guardedConnector, refusalOf } from './guard.ts';
import type { Allowed, Lookup } from './guard.ts';
import { signedHeaders } from './sign.ts';

/**
 * One attempt: a POST straight to the endpoint, never through a proxy and never on to where it redirects. The status
 * is the answer; its body is of no interest.
 */

/** From the lookup of its name to the status. */
export const ATTEMPT_MS = 10_000;
/** A reply that is no longer than this leaves the connection fit for the next attempt. */
const READ_BYTES = 16 * 1024;

export class Sender {
  readonly #allowed: Allowed;
  readonly #clock: Clock;
  readonly #agent: Dispatcher;

  constructor(allowed: Allowed, clock: Clock, lookup?: Lookup) {
    this.#allowed = allowed;
    this.#clock = clock;
    this.#agent = new Agent({
      connect: guardedConnector(allowed.private, ATTEMPT_MS, lookup),
      headersTimeout: ATTEMPT_MS,
      bodyTimeout: ATTEMPT_MS,
    });
  }

  refusal(url: string): string | undefined {
    return refusalOf(url, this.#allowed);
  }

  /** Resolves whatever the endpoint does; rejects when `signal` aborts. */
  async send(target: DeliveryTarget, id: string, payload: string, signal: AbortSignal): Promise<SendResult> {
    const refusal = this.refusal(target.url);
    if (refusal !== undefined) return { error: `the URL ${refusal}` };
    const late = new AbortController();
    const timer = this.#clock.timer(ATTEMPT_MS, () => {
      late.abort(new Error(`no answer within ${ATTEMPT_MS / 1000} s`));
    });
    try {
      return await this.#post(target, id, payload, AbortSignal.any([signal, late.signal]));
    } catch (error) {
      if (signal.aborted) throw error;
      return { error: reasonOf(error) };
    } finally {
      timer.cancel();
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #post(target: DeliveryTarget, id: string, payload: string, signal: AbortSignal): Promise<SendResult> {
    const { origin, pathname, search } = new URL(target.url);
    const { statusCode, body } = await this.#agent.request({
      origin,
      path: pathname + search,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'Holt',
        ...signedHeaders(target, id, payload, this.#clock.now()),
      },
      body: payload,
      signal,
    });
    // Once there is a status, a body that breaks off or never ends changes nothing.
    await body.dump({ limit: READ_BYTES, signal }).catch(() => body.destroy());
    return { status: statusCode };
  }
}

/** Many addresses fail with one error each. */
function reasonOf(error: unknown): string {
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [error];
  return first instanceof Error ? first.message : String(first);
}
