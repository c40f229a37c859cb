import { connect } from 'node:net';
import type { Socket } from 'node:net';

/**
 * One `POST /v1/responses` with `stream: true` on a raw socket, read at the least cost at which it can still be said
 * that nothing is missing: sequence numbers dense from 0, every delta counted, one terminal event, a clean end.
 */

const SEQUENCE = '"sequence_number":';
const EVENT = 'event: ';
const DELTA = 'response.output_text.delta';
const COMPLETED = 'response.completed';
const LAST_CHUNK = '\r\n0\r\n\r\n';

export class ResponseStream {
  /** Resolves at the first frame, rejects as `ended`. */
  readonly begun: Promise<void>;
  /** Resolves when the answer is complete. Rejects when it is not what it should be. */
  readonly ended: Promise<void>;
  deltas = 0;
  /** ms, of the first delta */
  firstDelta: number | undefined;
  readonly #begun = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #text = '';
  #next = 0;
  #inBody = false;
  #completed = false;

  constructor() {
    this.begun = this.#begun.promise;
    this.ended = this.#ended.promise;
    this.begun.catch(() => undefined);
    this.ended.catch(() => undefined);
  }

  feed(bytes: Buffer): void {
    // Frames are looked for, not decoded: one byte, one character.
    this.#text += bytes.toString('latin1');
    if (!this.#inBody && !this.#readHead()) return;
    let from = 0;
    for (let end = this.#text.indexOf('\n\n'); end !== -1; end = this.#text.indexOf('\n\n', from)) {
      this.#frame(from, end);
      from = end + 2;
    }
    if (from > 0) this.#text = this.#text.slice(from);
    if (this.#completed && this.#text.endsWith(LAST_CHUNK)) this.#ended.resolve();
  }

  fail(reason: string): void {
    const error = new Error(`${reason}, after event ${this.#next - 1}`);
    this.#begun.reject(error);
    this.#ended.reject(error);
  }

  #readHead(): boolean {
    const end = this.#text.indexOf('\r\n\r\n');
    if (end === -1) return false;
    if (this.#text.startsWith('HTTP/1.1 200 ')) this.#inBody = true;
    else this.fail(`unexpected answer: ${this.#text.slice(0, 300)}`);
    this.#text = this.#text.slice(end + 2);
    return this.#inBody;
  }

  #frame(from: number, end: number): void {
    const event = this.#text.indexOf(EVENT, from);
    if (event === -1 || event > end) return; // a comment
    let at = this.#text.indexOf(SEQUENCE, event) + SEQUENCE.length;
    let sequence = 0;
    for (let digit = this.#digit(at); digit >= 0 && digit <= 9; digit = this.#digit(at)) {
      sequence = sequence * 10 + digit;
      at += 1;
    }
    if (sequence !== this.#next) this.fail(`expected event ${this.#next}, got ${sequence}`);
    if (this.#completed) this.fail('an event follows the end');
    this.#next += 1;
    if (this.#text.startsWith(DELTA, event + EVENT.length)) {
      this.deltas += 1;
      this.firstDelta ??= performance.now();
    } else if (this.#text.startsWith(COMPLETED, event + EVENT.length)) this.#completed = true;
    this.#begun.resolve();
  }

  #digit(at: number): number {
    return this.#text.charCodeAt(at) - 48;
  }
}

/** A connection that is kept alive: one stream at a time, or one for good. */
export class Connection {
  readonly #socket: Socket;
  readonly #host: string;
  #stream: ResponseStream | undefined;

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.on('data', (bytes) => this.#stream?.feed(bytes));
    socket.on('close', () => this.#stream?.fail('the connection was closed'));
    socket.on('error', () => socket.destroy());
  }

  static open(url: string): Promise<Connection> {
    const { hostname, port, host } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => resolve(new Connection(socket, host)));
      socket.once('error', reject);
      socket.setNoDelay(true);
    });
  }

  /** Not before the one before has ended. */
  post(body: object): ResponseStream {
    const json = JSON.stringify(body);
    const stream = new ResponseStream();
    this.#stream = stream;
    this.#socket.write(
      `POST /v1/responses HTTP/1.1\r\nhost: ${this.#host}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`,
    );
    return stream;
  }

  close(): void {
    this.#stream = undefined;
    this.#socket.destroy();
  }
}
