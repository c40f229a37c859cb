import type { Dispatcher } from 'undici';
import type { Clock, Timer } from '../../domain/ports.ts';
import type { Headers } from './retry-after.ts';

/** connect: until the request can be sent. headers: until the reply begins. idle: between bytes. tail: after the last word. */
export type Timeouts = { connectMs: number; headersMs: number; idleMs: number; tailMs: number };

export type Phase = 'connect' | 'headers' | 'idle' | 'tail';

/** How an exchange ended. */
export type Outcome =
  | { type: 'end' }
  | { type: 'error'; error: Error }
  | { type: 'timeout'; phase: Phase }
  | { type: 'aborted' };

/** Bytes that nobody has taken yet; beyond this the socket is paused. */
const HIGH_WATER_BYTES = 256 * 1024;

/**
 * One HTTP request and its reply, pulled by one reader. Everything that comes in while the reader is busy, which in
 * one read of the socket may be hundreds of HTTP chunks, waits as one batch of bytes behind one promise.
 */
export class Exchange {
  readonly #clock: Clock;
  readonly #timeouts: Timeouts;
  #controller: Dispatcher.DispatchController | undefined;
  #timer: Timer | undefined;
  #phase: Phase = 'connect';
  #status = 0;
  #headers: Headers = {};
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #outcome: Outcome | undefined;
  #released = false;
  #news = false;
  #wake: (() => void) | undefined;

  constructor(dispatcher: Dispatcher, request: Dispatcher.DispatchOptions, clock: Clock, timeouts: Timeouts) {
    this.#clock = clock;
    this.#timeouts = timeouts;
    this.#arm('connect', timeouts.connectMs);
    dispatcher.dispatch(request, this.#handler());
  }

  /** 0 until the reply has begun. */
  get status(): number {
    return this.#status;
  }

  get headers(): Headers {
    return this.#headers;
  }

  /** Undefined while it goes on, and while there are bytes to take. */
  get outcome(): Outcome | undefined {
    return this.#bytes > 0 && this.#outcome?.type !== 'aborted' ? undefined : this.#outcome;
  }

  /** Resolves when something has happened since the last call. */
  wait(): Promise<void> {
    if (this.#news) {
      this.#news = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#news = false;
        resolve();
      };
    });
  }

  /** Takes the bytes that are there, and lets more come. */
  take(): Uint8Array | undefined {
    const [first] = this.#chunks;
    if (first === undefined) return undefined;
    const bytes = this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#bytes);
    this.#chunks = [];
    this.#bytes = 0;
    if (this.#controller?.paused === true) {
      if (this.#outcome === undefined && this.#phase === 'idle') this.#arm('idle', this.#timeouts.idleMs);
      this.#controller.resume();
    }
    return bytes;
  }

  /** The whole rest of the body; what is beyond `limit` bytes is not read. */
  async readBody(limit: number): Promise<string> {
    const decoder = new TextDecoder();
    let text = '';
    let size = 0;
    while (size < limit) {
      const bytes = this.take();
      if (bytes !== undefined) {
        text += decoder.decode(bytes, { stream: true });
        size += bytes.length;
      } else if (this.outcome === undefined) {
        await this.wait();
      } else {
        break;
      }
    }
    return text;
  }

  /** From now on only a short while more: the upstream has said its last word. */
  expectEnd(): void {
    if (this.#phase !== 'tail' && this.#outcome === undefined) this.#arm('tail', this.#timeouts.tailMs);
  }

  /** Closes the socket at once. */
  abort(): void {
    if (this.#outcome !== undefined) return;
    this.#finish({ type: 'aborted' });
    this.#controller?.abort(new Error('the run was aborted'));
  }

  /** Closes the socket, unless the exchange is over or released. */
  close(): void {
    if (!this.#released) this.abort();
  }

  /** Lets the reply run out unread, so that the connection can be used again; closes it when that takes too long. */
  release(): void {
    if (this.#outcome !== undefined) return;
    this.#released = true;
    this.expectEnd();
    this.#chunks = [];
    this.#bytes = 0;
    if (this.#controller?.paused === true) this.#controller.resume();
  }

  #handler(): Dispatcher.DispatchHandler {
    return {
      onRequestStart: (controller) => {
        this.#controller = controller;
        // There was nothing to abort until now.
        if (this.#outcome !== undefined) controller.abort(new Error('the run has ended'));
        else this.#arm('headers', this.#timeouts.headersMs);
      },
      onResponseStart: (_, status, headers) => {
        if (status < 200) return;
        this.#status = status;
        this.#headers = headers;
        this.#arm('idle', this.#timeouts.idleMs);
        this.#notify();
      },
      onResponseData: (controller, chunk) => this.#data(controller, chunk),
      onResponseEnd: () => this.#finish({ type: 'end' }),
      onResponseError: (_, error) => this.#finish({ type: 'error', error }),
    };
  }

  #data(controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    if (this.#released) return;
    if (this.#phase === 'idle') this.#timer?.refresh();
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > HIGH_WATER_BYTES && !controller.paused) {
      controller.pause();
      // It is the reader who is slow, not the upstream.
      if (this.#phase === 'idle') this.#timer?.cancel();
    }
    this.#notify();
  }

  #arm(phase: Phase, ms: number): void {
    this.#timer?.cancel();
    this.#phase = phase;
    this.#timer = this.#clock.timer(ms, () => {
      this.#finish({ type: 'timeout', phase });
      this.#controller?.abort(new Error(`${phase} timeout`));
    });
  }

  #finish(outcome: Outcome): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#timer?.cancel();
    this.#notify();
  }

  #notify(): void {
    this.#news = true;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
