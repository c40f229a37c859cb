import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'node:test';
import type { Response } from '../../server/src/protocol/response.ts';
import { ServerGone, call, checkStreamed, get, isNumber, post, request, startStream, urlOf } from '../crash/clients.ts';
import { ROOT, spawnHolt, temporaryDirectory } from '../support/holt.ts';

/** A server whose store thread dies is of no use to anybody: it ends, so that whoever supervises it starts another. */

const ENDS: Record<string, RegExp> = {
  'by an error': /The thread of the store has died \(the store thread was told to die\)/,
  silently: /The thread of the store has died \(it has ended\)/,
};

for (const [how, line] of Object.entries(ENDS)) {
  test(`a store thread that ends ${how} ends its server with 1, nobody waits, and the next one goes on`, async (t) => {
    const data = await temporaryDirectory();
    const NODE_OPTIONS = `--import ${join(ROOT, 'test/support/die.ts')}`;
    const holt = await spawnHolt({ data, env: { NODE_OPTIONS, STORE_ENDS: how } });
    t.after(() => holt.kill());
    const { url } = holt;
    const ended = await startStream(url, { tokens: 3, interval_ms: 0, first_token_ms: 0 }, isNumber(0));
    assert.equal(await ended.end, 'closed');
    const whole = await get(url, ended.history.id);
    const running = await startStream(url, { tokens: 20_000, interval_ms: 5, first_token_ms: 0 }, isNumber(30));
    const silent = await startStream(url, { first_token_ms: 3_600_000 }, isNumber(0));
    const waiting = call(`${urlOf(url, silent.history.id)}?wait=60`).then(
      ({ status }) => status,
      (error: unknown) => error,
    );
    const foreground = call(
      `${url}/v1/responses`,
      post(request({ first_token_ms: 3_600_000 }, { background: false, stream: false })),
    ).then(
      ({ status }) => status,
      (error: unknown) => error,
    );
    const closed = once(holt.process, 'close') as Promise<[number | null]>; // with all that it had to say
    holt.process.kill('SIGUSR2');
    const [code] = await closed;
    assert.equal(code, 1);
    assert.match(holt.errors(), line);
    assert.doesNotMatch(holt.errors(), /^ +at /m, 'no stack: it says what has happened in a line');
    for (const { end } of [running, silent]) {
      assert.ok((await end) instanceof ServerGone, 'a stream without its end was closed as if it were whole');
    }
    for (const answer of [await waiting, await foreground]) assert.ok(answer instanceof ServerGone || answer === 503);

    const next = await spawnHolt({ data });
    t.after(() => next.kill());
    assert.deepEqual(await get(next.url, ended.history.id), whole);
    assert.equal((await checkStreamed(next.url, running.history)).status, 'failed');
    const { status } = JSON.parse((await call(urlOf(next.url, silent.history.id))).body) as Response;
    assert.ok(status === 'in_progress' || status === 'queued');
  });
}
