import { hash as digest, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { apiError } from '../domain/errors.ts';
import { isLoopback } from '../domain/loopback.ts';
import { DEFAULT_PROJECT } from '../domain/project-store.ts';
import type { StoredKey } from '../domain/project-store.ts';
import { allowsOrigin } from './cors.ts';
import type { CorsPolicy } from './cors.ts';

/**
 * Who asks. A bearer token is the key that the server was started with, or one of a project. While there is no key at
 * all Holt listens on loopback only, and a web page in a browser on the same machine must not reach it: foreign Host
 * headers (DNS rebinding) and Origins are refused, but for those that `server.cors` names.
 */

/** What `openai-organization` says; there is only this one. */
export const ORGANIZATION = 'holt';

/** As `ids.ts` makes them. Nothing else is worth a question to the store. */
const STORED_KEY = /^sk-holt-[\w-]{43}$/;

export type Keys = {
  /** Whether any project has a key. */
  hasKeys(): boolean | Promise<boolean>;
  /** The key with this sha256, unless it has expired. */
  use(hash: Buffer): StoredKey | undefined | Promise<StoredKey | undefined>;
};

type Settings = {
  /** The one that the server was started with. */
  apiKey: string | undefined;
  keys: Keys;
  cors: CorsPolicy;
  /** Only programs of this machine reach the server. */
  loopback: boolean;
};

/** Whose request it is. `key` is undefined unless it is one of a project. */
export type Known = { projectId: string; key: StoredKey | undefined };
const OWN: Known = { projectId: DEFAULT_PROJECT, key: undefined };

/** At once when all is in memory, as it nearly always is. */
export type Authenticate = (headers: IncomingHttpHeaders) => Known | Promise<Known>;

export function makeAuthenticate({ apiKey, keys, cors, loopback }: Settings): Authenticate {
  const own = apiKey === undefined ? undefined : hash(apiKey);
  const withKey: Authenticate = (headers) => {
    const token = bearerOf(headers);
    if (token === undefined) throw apiError('missing_api_key');
    const found = callerOf(token, own, keys);
    return whenKnown(found, (caller) => {
      if (caller === undefined) throw apiError('invalid_api_key', { mask: mask(token) });
      checkAddressee(headers, caller.projectId);
      return caller;
    });
  };
  if (own !== undefined || !loopback) return withKey;
  return (headers) =>
    whenKnown(keys.hasKeys(), (needed) => {
      if (needed) return withKey(headers);
      checkLocal(headers, cors);
      return OWN;
    });
}

function callerOf(token: string, own: Buffer | undefined, keys: Keys): Known | undefined | Promise<Known | undefined> {
  const hashed = hash(token);
  if (own !== undefined && timingSafeEqual(hashed, own)) return OWN;
  if (!STORED_KEY.test(token)) return undefined;
  return whenKnown(keys.use(hashed), (key) => key && { projectId: key.projectId, key });
}

/** No turn of the loop for what is there. */
function whenKnown<T, R>(value: T | Promise<T>, use: (value: T) => R | Promise<R>): R | Promise<R> {
  return value instanceof Promise ? value.then(use) : use(value);
}

/** A client that names another project, or organization, than that of its key has been set up wrongly. */
function checkAddressee(headers: IncomingHttpHeaders, project: string): void {
  const { 'openai-organization': organization, 'openai-project': named } = headers;
  if (differs(organization, ORGANIZATION)) throw apiError('mismatched_organization', { got: organization });
  if (differs(named, project)) throw apiError('mismatched_project', { got: named });
}

/** Clients send an empty header where nothing was set. */
function differs(header: string | string[] | undefined, own: string): boolean {
  return header !== undefined && header !== '' && header !== own;
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

/**
 * Of equal length whatever was sent, so that a comparison takes the same time. By way of a text, which costs a third of a
 * digest that is a buffer from the beginning, and every request pays for it.
 */
function hash(text: string): Buffer {
  return Buffer.from(digest('sha256', text, 'binary'), 'binary');
}

function mask(token: string): string {
  return token.length <= 8 ? '*'.repeat(token.length) : `${token.slice(0, 3)}***${token.slice(-2)}`;
}
