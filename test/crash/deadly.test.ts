import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import { History } from '../support/history.ts';
import type { Response } from '../../server/src/protocol/response.ts';
import { call, poll, post, request } from './clients.ts';

/** Bounded attempts (design.md §8): what kills its process each time can't do so for ever. */

const program = new URL('programs/deadly.ts', import.meta.url).pathname;

test('a response that kills its server is given up after three runs, and the others complete', async () => {
  const data = await temporaryDirectory();
  const config = join(data, 'holt.yaml');
  await writeFile(config, 'worker: { concurrency: 1 }');
  const start = (): Promise<HoltProcess> => spawnHolt({ data, program, flags: ['--config', config] });
  const create = async (url: string, script: object, more: object = {}): Promise<History> => {
    const body = request({ tokens: 5, first_token_ms: 0, interval_ms: 0, ...script }, more);
    const answer = await call(`${url}/v1/responses`, post(body));
    assert.equal(answer.status, 200, answer.body);
    return new History((JSON.parse(answer.body) as Response).id);
  };

  let holt = await start();
  const others = [await create(holt.url, { first_token_ms: 3_000 })];
  // It waits for the only slot, so that its client hears of it before it runs.
  const deadly = await create(holt.url, {}, { metadata: { deadly: 'yes' } });
  for (let count = 0; count < 3; count += 1) others.push(await create(holt.url, {}));

  let deaths = 0;
  const last = others.at(-1)?.id ?? '';
  for (let ended = false; !ended;) {
    const died = once(holt.process, 'exit').then(() => 'died' as const);
    const outcome = await Promise.race([
      died,
      poll(holt.url, last, new History(last).witness()).then(
        () => 'ended' as const,
        () => died,
      ),
    ]);
    ended = outcome === 'ended';
    if (ended) break;
    // While it is taken over at a start, too: then there is no server to speak of.
    for (let serving = false; !serving;) {
      deaths += 1;
      assert.equal(holt.process.signalCode, 'SIGKILL');
      const next = await start().catch((error: Error) => {
        assert.match(error.message, /exited with null/);
        return undefined;
      });
      serving = next !== undefined;
      holt = next ?? holt;
    }
  }
  assert.equal(deaths, 3);
  const final = await poll(holt.url, deadly.id, deadly.witness());
  assert.equal(final.status, 'failed');
  assert.equal(final.error?.code, 'server_error');
  assert.match(final.error?.message ?? '', /each time it ran this response/);
  for (const { id } of others) assert.equal((await poll(holt.url, id, new History(id).witness())).status, 'completed');
  await holt.stop();
  await rm(data, { recursive: true, force: true });
});
