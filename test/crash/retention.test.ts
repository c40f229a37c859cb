import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { REQUEST, SAID, answering, silentAt } from '../support/secret-request.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { assertError, create, get, poll, pollUntil, post, streamUrl, textOf } from '../contract/wire.ts';
import { RetentionServers, finder } from './retention-servers.ts';

/** Retention in real processes that are killed (design.md §9): what is on their disks and in their logs. */

const TIMEOUT = { timeout: 60_000 };

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
});
after(() => upstream.stop());

const background = (model: string, more: object = {}): object => ({ model, ...REQUEST, background: true, ...more });

describe('zero data retention over a crash', { concurrency: 2 }, () => {
  test('what had been produced is kept, sealed (policy 3)', TIMEOUT, async () => {
    await upstream.script('killed', answering('killed-middle'));
    await using servers = await RetentionServers.start(upstream.url, 'zero_data_retention');
    const { id } = await create(servers.holt, background('killed', { stream: false }));
    const half = await pollUntil(servers.holt, id, (response) => textOf(response) !== '');
    await servers.holt.kill();
    servers.assertNothingOnDisk('after kill -9');
    await servers.start();

    const ended = await poll(servers.holt, id);
    assert.equal(ended.status, 'failed');
    assert.equal(textOf(ended), textOf(half));
    assert.equal((ended as { store?: boolean }).store, false);
    assert.equal(ended.instructions, SAID.instructions);
    servers.assertNothingOnDisk('after the restart');
    await servers.assertNothingTold();
  });

  test('what had said nothing runs again (policy 0)', TIMEOUT, async () => {
    await upstream.script('rerun', silentAt('rerun'));
    await using servers = await RetentionServers.start(upstream.url, 'zero_data_retention');
    const { id } = await create(servers.holt, background('rerun'));
    await upstream.waitForRequest('rerun', 1);
    await servers.holt.kill();
    await upstream.release('rerun');
    await servers.start();

    const ended = await pollUntil(servers.holt, id);
    assert.equal(ended.status, 'completed');
    assert.equal(textOf(ended), SAID.output);
    const [, again] = await upstream.requests('rerun');
    assert.match(JSON.stringify(again?.body), new RegExp(SAID.prompt));
    servers.assertNothingOnDisk('after its end');
    await servers.assertNothingTold();
  });

  test('with its key a response is lost, and no other', TIMEOUT, async () => {
    await upstream.script('kept', silentAt('kept'));
    await upstream.script('done', answering());
    await upstream.script('half', answering('half-middle'));
    await using servers = await RetentionServers.start(upstream.url, 'zero_data_retention', {
      worker: { concurrency: 2 },
    });
    const kept = await create(servers.holt, background('kept'));
    await upstream.waitForRequest('kept', 1);
    const [first] = servers.keyFiles();
    await servers.holt.kill();
    await servers.start();
    await upstream.waitForRequest('kept', 2);
    const done = await create(servers.holt, background('done'));
    await pollUntil(servers.holt, done.id);
    const half = await create(servers.holt, background('half', { stream: false }));
    await pollUntil(servers.holt, half.id, (response) => textOf(response) !== '');
    const queued = await create(servers.holt, background('done'));
    assert.equal(queued.status, 'queued');
    await servers.holt.kill();
    for (const file of servers.keyFiles()) if (file !== first) rmSync(file);
    await servers.start();

    assertError(await get(servers.holt, `responses/${done.id}`), 404);
    for (const { id } of [half, queued]) {
      const ended = await poll(servers.holt, id);
      assert.equal(ended.status, 'failed');
      assert.match(ended.error?.message ?? '', /key of this response is lost/);
      assert.deepEqual(ended.output, []);
      const items = JSON.parse((await get(servers.holt, `responses/${id}/input_items`)).text) as { data: unknown[] };
      assert.deepEqual(items.data, []);
      assert.equal((await fetch(streamUrl(servers.holt, id))).status, 400);
    }
    await upstream.release('kept');
    assert.equal(textOf(await pollUntil(servers.holt, kept.id)), SAID.output);
    servers.assertNothingOnDisk('after all');
  });
});

test('modified abuse monitoring: content is stored, and in no log at any level', TIMEOUT, async () => {
  const quoting = `${SAID.upstreamError}: ${SAID.prompt}`;
  const failing = { error: { message: quoting, type: 'invalid_request_error', code: 'bad', param: null } };
  await upstream.script('refuses', { reply: { status: 400, body: failing } });
  await upstream.script('breaks', { reply: { status: 500, body: failing } });
  await upstream.script('garbage', { steps: [{ send: `data: ${quoting}\n\n` }, { done: true }] });
  await upstream.script('stops', {
    steps: [{ delta: { role: 'assistant', content: SAID.output } }, { chunk: failing }, { end: true }],
  });
  await upstream.script('hangs', answering('hangs-middle'));
  await using servers = await RetentionServers.start(upstream.url, 'modified_abuse_monitoring');
  const { holt } = servers;
  for (const model of ['refuses', 'stops']) {
    const { id } = await create(holt, background(model));
    assert.equal((await pollUntil(holt, id)).status, 'failed', model);
  }
  for (const model of ['refuses', 'breaks', 'garbage', 'stops']) await post(holt, { model, ...REQUEST });
  await post(holt, `{"input": "${SAID.prompt}`);
  await post(holt, { model: 'refuses', input: [{ type: SAID.prompt }] });
  const { id } = await create(holt, background('hangs', { stream: false }));
  await pollUntil(holt, id, (response) => textOf(response) !== '');
  await holt.kill();
  await servers.start();
  assert.equal(textOf(await poll(servers.holt, id)), SAID.output.slice(0, SAID.output.length / 2));
  assert.notDeepEqual(finder.inDirectory(servers.data), [], 'it is stored as in standard mode');
  await servers.assertNothingTold();
});
