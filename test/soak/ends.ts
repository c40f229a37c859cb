import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestHolt } from '../support/holt.ts';
import { Receiver, eventIn } from '../support/webhook-receiver.ts';
import { subscribe } from '../contract/webhook-endpoint.ts';

/** Whoever has not seen an end so long after it was told is not going to, ms. */
const UNSEEN_MS = 60_000;

/** Ends of background responses, as clients saw them and as webhooks told them: each is told, and told right. */
export class Ends implements AsyncDisposable {
  told = 0;
  readonly #receiver: Receiver;
  /** Seen or told, and not both yet. */
  readonly #seen = new Map<string, string>();
  readonly #told = new Map<string, { end: string; at: number }>();

  private constructor(receiver: Receiver) {
    this.#receiver = receiver;
    receiver.react = (hit) => {
      if (hit.path === '/all') {
        const event = eventIn(hit);
        this.told += 1;
        this.#told.set(event.data.id, { end: event.type, at: performance.now() });
      }
      receiver.hits.length = 0;
      return 204;
    };
  }

  static async start(holt: TestHolt): Promise<Ends> {
    const receiver = await Receiver.start();
    await subscribe(holt, receiver.url('/all'));
    return new Ends(receiver);
  }

  /** Where nobody listens to what comes. */
  get elsewhere(): string {
    return this.#receiver.url('/elsewhere');
  }

  seen(id: string, status: string | undefined): void {
    this.#seen.set(id, `response.${status}`);
  }

  /**
   * Throws when one was told otherwise.
   * @returns ends that were seen and not told yet
   */
  settle(): string[] {
    for (const [id, end] of this.#seen) {
      const told = this.#told.get(id);
      if (told === undefined) continue;
      assert.equal(told.end, end, `${id} ended as ${end}, and a webhook says ${told.end}`);
      this.#seen.delete(id);
      this.#told.delete(id);
    }
    const old = performance.now() - UNSEEN_MS;
    for (const [id, { at }] of this.#told) if (at < old) this.#told.delete(id);
    return [...this.#seen.keys()];
  }

  /** Waits until every end that was seen has been told. */
  async allTold(signal: AbortSignal): Promise<void> {
    while (this.settle().length > 0) await sleep(50, undefined, { signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#receiver[Symbol.asyncDispose]();
  }
}
