import { brotliCompress, constants, deflate, gzip } from 'node:zlib';
import type { CompressCallback } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { addVary } from './request.ts';

/**
 * JSON answers in the client's favourite encoding, in zlib's threads. Event streams never come by here: they write to
 * the socket themselves, and a compressor would hold their events back.
 */

/** What fits into one packet with its headers is there no sooner for being smaller, bytes. */
const WORTH_IT = 1_024;
/**
 * Compressions at once. Each holds some 300 kB from its start on, also while it waits for one of the four threads; a
 * storm of polls beyond this gets its bytes as they are.
 */
const MOST = 32;

type Encode = (body: string | Buffer, done: CompressCallback) => void;

const ENCODERS: Record<string, Encode> = {
  // About as fast as gzip and smaller; the default of 11 takes seconds for a long answer.
  br: (body, done) => {
    brotliCompress(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }, done);
  },
  gzip,
  deflate,
};

type Compress = (
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
  done: (error: Error | null, payload?: unknown) => void,
) => void;

/** A hook for `onSend`. For polls that are small, or not asked to be compressed, it is two comparisons. */
export function makeCompress(): Compress {
  let underWay = 0;
  return (request, reply, payload, done) => {
    const accepted = request.headers['accept-encoding']?.toString();
    if (accepted === undefined || !isBody(payload) || payload.length < WORTH_IT) {
      done(null, payload);
      return;
    }
    // A cache that holds the one must not hand it to who wants the other.
    addVary(reply, 'Accept-Encoding');
    const name = chooseEncoding(accepted);
    const encode = name === undefined ? undefined : ENCODERS[name];
    if (encode === undefined || underWay >= MOST) {
      done(null, payload);
      return;
    }
    underWay += 1;
    encode(payload, (error, encoded) => {
      underWay -= 1;
      if (error === null) reply.header('content-encoding', name).removeHeader('content-length');
      done(error, encoded);
    });
  };
}

function isBody(payload: unknown): payload is string | Buffer {
  return typeof payload === 'string' || Buffer.isBuffer(payload);
}

/** The encoding of ours with the highest weight, the first of equals; undefined when the client takes none of them. */
function chooseEncoding(accepted: string): string | undefined {
  const weights = new Map(accepted.split(',').map(readWeight));
  let best: string | undefined;
  let weight = 0;
  for (const name of Object.keys(ENCODERS)) {
    const own = weights.get(name) ?? weights.get('*') ?? 0;
    if (own > weight) [best, weight] = [name, own];
  }
  return (weights.get('identity') ?? 0) > weight ? undefined : best;
}

function readWeight(entry: string): [name: string, weight: number] {
  const [name = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase());
  const q = parameters.find((parameter) => parameter.startsWith('q='));
  const weight = q === undefined ? 1 : Number(q.slice(2));
  return [name, Number.isFinite(weight) ? weight : 0];
}
