import { Agent, EnvHttpProxyAgent } from 'undici';
import type { Dispatcher } from 'undici';

/** The values of HTTP_PROXY, HTTPS_PROXY and NO_PROXY. */
export type ProxySettings = { http?: string; https?: string; no?: string };

/**
 * The connections to one upstream. undici's own limits on silence are off, since a model may think for longer than
 * they allow; `Exchange` has the clock.
 */
export function createDispatcher(protocol: string, proxy: ProxySettings, connectMs: number): Dispatcher {
  const connect = { timeout: connectMs };
  const options = { headersTimeout: 0, bodyTimeout: 0, connect };
  const uri = protocol === 'https:' ? proxy.https : proxy.http;
  if (uri === undefined || uri === '') return new Agent(options);
  // Every setting is given, because undici would look for a missing one in the environment. An https upstream never
  // goes through the http proxy, as with curl.
  return new EnvHttpProxyAgent({
    ...options,
    httpProxy: protocol === 'https:' ? '' : uri,
    httpsProxy: protocol === 'https:' ? uri : '',
    noProxy: proxy.no ?? '',
    proxyTls: connect,
    requestTls: connect,
  });
}
