import { Agent, request as httpRequest } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import type { FuzzRequest } from './requests.ts';

/** An HTTP client that sends what others refuse to, such as a GET with a body. */

export type FuzzAnswer = {
  status: number;
  contentType: string;
  requestId: string;
  body: Buffer;
  /** `left`: the client went before the end. `cut`: the server did. */
  end: 'whole' | 'left' | 'cut';
};

/** Everything is answered long before, ms. */
const PATIENCE_MS = 60_000;

export class FuzzClient implements Disposable {
  readonly #agent: Agent;
  readonly #url: URL;

  constructor(url: string, connections: number) {
    this.#url = new URL(url);
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  send({ method, target, headers, body, leaves }: FuzzRequest): Promise<FuzzAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<FuzzAnswer>();
    const { hostname: host, port } = this.#url;
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const request = httpRequest({ host, port, method, path: target, headers, agent: this.#agent, signal });
    request.once('error', reject);
    request.once('response', (answer) => {
      if (leaves) {
        request.destroy();
        resolve(answerOf(answer, [], 'left'));
        return;
      }
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.once('error', () => {
        resolve(answerOf(answer, chunks, 'cut'));
      });
      answer.once('end', () => {
        resolve(answerOf(answer, chunks, 'whole'));
      });
    });
    request.end(body);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

function decoded(bytes: Buffer, encoding: string | undefined): Buffer {
  if (encoding === undefined || bytes.length === 0) return bytes;
  const decode = { br: brotliDecompressSync, gzip: gunzipSync, deflate: inflateSync }[encoding];
  if (decode === undefined) throw new Error(`nobody asked for ${encoding}`);
  return decode(bytes);
}

function answerOf(answer: IncomingMessage, chunks: readonly Buffer[], end: FuzzAnswer['end']): FuzzAnswer {
  return {
    status: answer.statusCode ?? 0,
    contentType: answer.headers['content-type'] ?? '',
    requestId: String(answer.headers['x-request-id'] ?? ''),
    body: end === 'cut' ? Buffer.concat(chunks) : decoded(Buffer.concat(chunks), answer.headers['content-encoding']),
    end,
  };
}
