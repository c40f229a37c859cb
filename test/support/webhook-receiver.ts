import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A program that receives webhooks, and writes down what came. */

export type Hit = { path: string; headers: IncomingHttpHeaders; body: string };

/** A status, or what the receiver does with the request itself. */
export type Reaction = number | ((response: ServerResponse) => void);

/** What should come has this long, ms: a defect fails its test instead of hanging it. */
const PATIENCE_MS = 20_000;

export class Receiver implements AsyncDisposable {
  readonly hits: Hit[] = [];
  /** What it does with a hit; 204 unless a test says otherwise. */
  react: (hit: Hit) => Reaction = () => 204;
  readonly #server: Server;
  #port = 0;
  #changed = Promise.withResolvers<void>();

  private constructor() {
    this.#server = createServer((request, response) => {
      void this.#receive(request, response);
    });
  }

  static async start(): Promise<Receiver> {
    const receiver = new Receiver();
    await receiver.comeBack();
    return receiver;
  }

  get port(): number {
    return this.#port;
  }

  url(path = '/hook'): string {
    return `http://127.0.0.1:${this.#port}${path}`;
  }

  at(path: string): Hit[] {
    return this.hits.filter((hit) => hit.path === path);
  }

  /** Resolves with the hits as soon as `enough` holds of them. */
  async until(enough: (hits: Hit[]) => boolean, what: string): Promise<Hit[]> {
    const stop = new AbortController();
    const late = sleep(PATIENCE_MS, 'late', { signal: stop.signal });
    late.catch(() => undefined);
    try {
      while (!enough(this.hits)) {
        const outcome = await Promise.race([this.#changed.promise, late]);
        assert.notEqual(outcome, 'late', `${what}: ${JSON.stringify(this.hits.map(({ path, body }) => [path, body]))}`);
      }
      return this.hits;
    } finally {
      stop.abort();
    }
  }

  async count(count: number): Promise<Hit[]> {
    return this.until((hits) => hits.length >= count, `${count} webhooks`);
  }

  /** Nobody listens any more; what is open is cut. */
  async goDown(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Listens again, on the port it had. */
  async comeBack(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.goDown();
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const bytes of request.setEncoding('utf8')) body += String(bytes);
    const hit = { path: request.url ?? '', headers: request.headers, body };
    const reaction = this.react(hit);
    if (typeof reaction === 'number') response.writeHead(reaction).end();
    else reaction(response);
    this.hits.push(hit);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** The event that a hit brought. */
export function eventIn(hit: Hit | undefined): { id: string; type: string; data: { id: string } } {
  assert.ok(hit !== undefined);
  return JSON.parse(hit.body) as { id: string; type: string; data: { id: string } };
}
