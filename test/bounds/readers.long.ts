import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { create, otter, poll, pollUntil } from '../contract/wire.ts';
import { spawnHolt } from '../support/holt.ts';

/** Readers that never read cost little memory and hold nobody up. */

const READERS = 1_000;
/** Of one that never reads, with its connection and the piece of the log that it was given: half a snapshot is more. */
const MOST_EACH = 350_000;

test('a thousand readers that never read', { timeout: 300_000 }, async (t) => {
  // With as much heap as a small machine has: with plenty, garbage is left to lie.
  await using holt = await spawnHolt({ env: { NODE_OPTIONS: '--max-old-space-size=200' } });
  const rss = (): number =>
    1_024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${holt.process.pid}/status`, 'utf8'))?.[1]);
  const long = await streamed(holt.url);
  const before = rss();
  const sockets = await Promise.all(Array.from({ length: READERS }, () => deaf(holt.url, long)));
  // They are served one after the other: who comes last has its turn after all of them.
  const quick = await create(holt, otter({ tokens: 20 }, { background: true }));
  assert.equal((await pollUntil(holt, quick.id)).status, 'completed');
  const after = rss();
  const each = (after - before) / READERS;
  t.diagnostic(`${Math.round(each / 1_000)} kB a reader, ${Math.round(after / 1e6)} MB in all`);
  assert.ok(each < MOST_EACH, `${Math.round(each / 1_000)} kB a reader`);
  assert.equal((await poll(holt, long)).status, 'completed');
  for (const socket of sockets) socket.destroy();
});

/** An ended response that can be streamed, some 0.7 MB of text. */
async function streamed(base: string): Promise<string> {
  const body = JSON.stringify(otter({ tokens: 100_000 }, { background: true, stream: true }));
  const answer = await fetch(`${base}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const id = answer.headers.get('x-response-id') ?? '';
  await answer.text();
  return id;
}

/** Resolves when its stream has begun; then it takes nothing any more. */
function deaf(base: string, id: string): Promise<Socket> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.on('error', reject);
    socket.once('data', () => {
      socket.pause();
      resolve(socket);
    });
    socket.write(`GET /v1/responses/${id}?stream=true HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
  });
}
