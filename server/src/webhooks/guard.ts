import { lookup as lookupAddresses } from 'node:dns';
import type { LookupAddress } from 'node:dns';
import { BlockList, isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import { isLoopback } from '../domain/loopback.ts';

/**
 * Keeps requests to addresses that users name away from what only this server can reach (SSRF). A name is judged by
 * the addresses that are connected to, in the one lookup that the connection makes, so that a name which answers
 * differently the second time gains nothing.
 */

/** Not of the public internet (IANA's special-purpose registries), without IPv4-mapped forms. */
const REFUSED = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const) {
  REFUSED.addSubnet(network, prefix, 'ipv4');
}
/** What of IPv6 is global unicast, and yet no host of the internet: Teredo and the like, documentation, 6to4. */
for (const [network, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  REFUSED.addSubnet(network, prefix, 'ipv6');
}
const GLOBAL = new BlockList();
GLOBAL.addSubnet('2000::', 3, 'ipv6');

/** IPv6 that carries an IPv4 address in its last 32 bits, and is as good as that: mapped, and NAT64 (RFC 6052). */
const CARRYING = /^(?:::ffff|64:ff9b:):([\da-f]{1,4}):([\da-f]{1,4})$/;

/** @param address as the resolver gives it, with or without a zone */
export function isPublicAddress(address: string): boolean {
  const [plain = ''] = address.split('%');
  const family = isIP(plain);
  if (family === 4) return !REFUSED.check(plain, 'ipv4');
  if (family !== 6) return false;
  const canonical = new URL(`http://[${plain}]`).hostname.slice(1, -1);
  const carried = CARRYING.exec(canonical);
  if (carried !== null) return isPublicAddress(dotted(carried[1] ?? '', carried[2] ?? ''));
  return GLOBAL.check(canonical, 'ipv6') && !REFUSED.check(canonical, 'ipv6');
}

function dotted(high: string, low: string): string {
  const [first, second] = [Number.parseInt(high, 16), Number.parseInt(low, 16)];
  return [first >> 8, first & 255, second >> 8, second & 255].join('.');
}

export type Allowed = { http: boolean; private: boolean };

/** Why `url` is refused without looking at the network, in words that follow its name; undefined when it may be tried. */
export function refusalOf(url: string, allowed: Allowed): string | undefined {
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) return 'is not an https URL';
  if (parsed.protocol === 'http:' && !allowed.http) return 'must be an https URL';
  if (parsed.username !== '' || parsed.password !== '') return 'must not hold a user name or a password';
  // The parser has made plain addresses of decimal, octal, hexadecimal and shortened ones.
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  if (allowed.private) return undefined;
  return isLoopback(host) || (isIP(host) !== 0 && !isPublicAddress(host))
    ? 'names an address that is not public'
    : undefined;
}

/** As `dns.lookup` with `all`. */
export type Lookup = (
  host: string,
  options: { all: true },
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** Opens sockets to public addresses only, unless private ones are allowed too. */
export function guardedConnector(allowPrivate: boolean, timeoutMs: number, lookup: Lookup = lookupAddresses) {
  const connect = buildConnector({ timeout: timeoutMs, lookup: guardedLookup(allowPrivate, lookup) });
  const guarded: buildConnector.connector = (options, done) => {
    // An address needs no lookup, and so gets none.
    const host = options.hostname.replace(/^\[(.*)\]$/, '$1');
    if (!allowPrivate && isIP(host) !== 0 && !isPublicAddress(host)) done(notPublic(host), null);
    else connect(options, done);
  };
  return guarded;
}

function guardedLookup(allowPrivate: boolean, lookup: Lookup): LookupFunction {
  return (host, options, done) => {
    lookup(host, { ...options, all: true }, (error, found) => {
      if (error !== null) return done(error, []);
      const usable = allowPrivate ? found : found.filter(({ address }) => isPublicAddress(address));
      const [first] = usable;
      if (first === undefined) return done(notPublic(host), []);
      if (options.all === true) return done(null, usable);
      return done(null, first.address, first.family);
    });
  };
}

function notPublic(host: string): NodeJS.ErrnoException {
  return new Error(`${host} has no public address`);
}
