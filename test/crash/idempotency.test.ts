import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { EventReader, idIn, jsonRequest, otter, pollUntil, post, responseIn, textOf } from '../contract/wire.ts';
import type { Answer, Served } from '../contract/wire.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { Victim } from './victim.ts';

/** A create with an Idempotency-Key whose server is killed: sent again to the next one, it has run once. */

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
});
after(() => upstream.stop());

const KEY = { 'idempotency-key': 'before-the-crash' };
const ask = (model: string): object => ({ model, input: 'Hello', background: true });
const isReplay = ({ headers }: Answer): boolean => headers.get('idempotent-replayed') === 'true';

function idsIn(data: string): unknown[] {
  const database = new DatabaseSync(join(data, 'holt.db'), { readOnly: true });
  try {
    return database
      .prepare('select id from response order by no')
      .all()
      .map(({ id }) => id);
  } finally {
    database.close();
  }
}

/** Sends the create to a server that dies at the point. */
async function createAndDie(data: string, flags: string[], point: string, body: object): Promise<void> {
  const victim = new Victim({
    data,
    flags,
    stops: [{ point, nth: 1, signal: 'SIGKILL', lingerMs: 0 }],
    duringMs: 1,
    stoppedMs: 0,
    onStop: () => undefined,
  });
  const url = await victim.serves;
  assert.ok(url !== undefined, victim.complaints);
  await assert.rejects(post({ url }, body, KEY), /fetch failed/);
  assert.equal((await victim.exited).signal, 'SIGKILL');
}

describe('killed around the commit of a create', { concurrency: 2 }, () => {
  for (const [model, point, stored] of [
    ['committed', 'create: after its commit, before its answer', 1],
    ['not committed', 'create: before its commit', 0],
  ] as const) {
    test(point, { timeout: 60_000 }, async () => {
      const data = await temporaryDirectory();
      const flags = ['--upstream', upstream.url];
      await createAndDie(data, flags, point, ask(model));
      const before = idsIn(data);
      assert.equal(before.length, stored);
      assert.deepEqual(await upstream.requests(model), [], 'the upstream is asked after the commit');
      {
        await using holt = await spawnHolt({ data, flags });
        const first = await post(holt, ask(model), KEY);
        assert.equal(isReplay(first), stored === 1);
        const { id } = responseIn(first);
        assert.deepEqual(before, stored === 1 ? [id] : []);
        const ended = await pollUntil(holt, id);
        assert.equal(ended.status, 'completed');
        assert.equal(textOf(ended), 'Hello from the upstream.');
        const again = await post(holt, ask(model), KEY);
        assert.ok(isReplay(again));
        assert.deepEqual(responseIn(again), ended);
        assert.equal((await upstream.requests(model)).length, 1);
      }
      assert.equal(idsIn(data).length, 1);
      await rm(data, { recursive: true });
    });
  }

  for (const retention of ['standard', 'zero_data_retention']) {
    test(`killed in the run: the same response, ended (${retention})`, { timeout: 60_000 }, async () => {
      const data = await temporaryDirectory();
      const flags = ['--retention', retention];
      const body = otter({ tokens: 100_000, interval_ms: 1 }, { background: true, stream: true });
      const stream = (holt: Served): Promise<EventReader> =>
        EventReader.open(`${holt.url}/v1/responses`, jsonRequest(body, KEY));
      const killed = await spawnHolt({ data, flags });
      const first = await stream(killed);
      const seen = await first.take(({ event }) => event === 'response.output_text.delta');
      await killed.kill();
      await using holt = await spawnHolt({ data, flags });
      const again = await stream(holt);
      assert.equal(again.headers.get('idempotent-replayed'), 'true');
      const frames = await again.rest();
      assert.equal(idIn(frames[0]), idIn(seen[0]));
      assert.ok(again.text.startsWith(seen.map(({ text }) => `${text}\n\n`).join('')));
      assert.equal(frames.at(-1)?.event, 'response.failed');
      await holt.stop();
      assert.equal(idsIn(data).length, 1);
      await rm(data, { recursive: true });
    });
  }
});
