import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test, { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { UpstreamEvent } from '../../server/src/domain/upstream-event.ts';
import { errorOf, textOf } from '../support/chat-run.ts';
import { startProxy } from '../support/proxy.ts';
import { startUpstream } from '../support/upstream.ts';

/** TLS and proxies, in a process that is given the CA as an operator would give it. */

const upstream = await startUpstream({ tls: true });
after(() => upstream.stop());
const { port } = new URL(upstream.url);

const program = fileURLToPath(new URL('../support/run-chat.ts', import.meta.url));
const ca = fileURLToPath(new URL('../support/tls/ca.pem', import.meta.url));

async function run(options: { baseUrl?: string; proxy: object }, env: Record<string, string> = {}) {
  const args = [program, JSON.stringify({ baseUrl: upstream.url, ...options })];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { NODE_EXTRA_CA_CERTS: ca, ...env } });
  return JSON.parse(stdout) as UpstreamEvent[];
}

test('an https upstream is reached through the proxy', async () => {
  await using proxy = await startProxy();
  const events = await run({ proxy: { https: proxy.url } });
  assert.equal(textOf(events), 'Hello from the upstream.');
  assert.deepEqual(proxy.connects, [`localhost:${port}`]);
});

test('an https upstream may be named by its address', async () => {
  await using proxy = await startProxy();
  const events = await run({ baseUrl: upstream.url.replace('localhost', '127.0.0.1'), proxy: { https: proxy.url } });
  assert.equal(textOf(events), 'Hello from the upstream.');
  assert.deepEqual(proxy.connects, [`127.0.0.1:${port}`]);
});

test('what NO_PROXY names is reached directly', async () => {
  await using proxy = await startProxy();
  const events = await run({ proxy: { https: proxy.url, no: 'localhost' } });
  assert.equal(textOf(events), 'Hello from the upstream.');
  assert.deepEqual(proxy.connects, []);
});

test('an https upstream does not go through the http proxy, nor one from the environment', async () => {
  await using proxy = await startProxy();
  const events = await run({ proxy: { http: proxy.url } }, { HTTPS_PROXY: proxy.url, https_proxy: proxy.url });
  assert.equal(textOf(events), 'Hello from the upstream.');
  assert.deepEqual(proxy.connects, []);
});

test('a certificate nobody vouches for is a failed connection', async () => {
  const events = await run({ proxy: {} }, { NODE_EXTRA_CA_CERTS: '' });
  assert.match(errorOf(events).message, /UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT/);
});
