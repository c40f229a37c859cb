import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { apiError } from '../domain/errors.ts';
import { isLoopback } from '../domain/loopback.ts';
import { allowsOrigin } from './cors.ts';
import type { CorsPolicy } from './cors.ts';

/**
 * Who asks. With a key: the bearer token must be it. Without one Holt listens on loopback only, and a web page in a
 * browser on the same machine must not reach it: foreign Host headers (DNS rebinding) and Origins are refused, but for
 * those that `server.cors` names.
 */

const DEFAULT_PROJECT = 'default';

/** The project of the caller. */
export type Authenticate = (headers: IncomingHttpHeaders) => string;

export function makeAuthenticate(apiKey: string | undefined, cors: CorsPolicy): Authenticate {
  if (apiKey === undefined) {
    return (headers) => {
      checkLocal(headers, cors);
      return DEFAULT_PROJECT;
    };
  }
  const expected = hash(apiKey);
  return (headers) => {
    const token = bearerOf(headers);
    if (token === undefined) throw apiError('missing_api_key');
    if (!timingSafeEqual(hash(token), expected)) throw apiError('invalid_api_key', { mask: mask(token) });
    return DEFAULT_PROJECT;
  };
}

/** Whoever runs the server. An API key is none here, and without one this asks all the same. */
export function makeAuthenticateAdmin(adminKey: string): (headers: IncomingHttpHeaders) => void {
  const expected = hash(adminKey);
  return (headers) => {
    const token = bearerOf(headers);
    if (token === undefined) throw apiError('missing_admin_key');
    if (!timingSafeEqual(hash(token), expected)) throw apiError('invalid_admin_key', { mask: mask(token) });
  };
}

function bearerOf(headers: IncomingHttpHeaders): string | undefined {
  return /^Bearer\s+(.+)$/i.exec(headers.authorization ?? '')?.[1]?.trim();
}

function checkLocal(headers: IncomingHttpHeaders, cors: CorsPolicy): void {
  const host = headers.host ?? '';
  if (!isLoopback(host.replace(/:\d+$/, '').toLowerCase())) {
    throw apiError('foreign_origin', { header: 'Host', value: host.slice(0, 100) });
  }
  const { origin } = headers;
  if (origin === undefined || allowsOrigin(cors, origin)) return;
  const name = URL.canParse(origin) ? new URL(origin).hostname : '';
  if (!isLoopback(name)) throw apiError('foreign_origin', { header: 'Origin', value: origin.slice(0, 100) });
}

/** Of equal length whatever was sent, so that a comparison takes the same time. */
function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function mask(token: string): string {
  return token.length <= 8 ? '*'.repeat(token.length) : `${token.slice(0, 3)}***${token.slice(-2)}`;
}
