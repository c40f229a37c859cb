import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT, startHolt } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { Scrape } from '../support/prometheus.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { Receiver } from '../support/webhook-receiver.ts';
import { runToEnd, subscribe } from './webhook-endpoint.ts';
import { EventReader, assertError, call, cancel, create, get, post } from './wire.ts';

/** `GET /metrics`: what is counted, by whom it may be read, and that clients can't make it grow. */

const KEY = 'sk-of-the-house';
const authorized = { headers: { authorization: `Bearer ${KEY}` } };

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
});
after(() => upstream.stop());

/** A Holt over the scripted upstream, which it asks again at once; `known` is a name that is configured. */
function startWatched(): Promise<TestHolt> {
  return startHolt({
    flags: ['--upstream', upstream.url],
    configure: (config) => {
      config.models['known'] = { provider: 'upstream' };
      config.webhooks = { allow_http: true, allow_private: true };
    },
    overrides: { random: () => 0 },
  });
}

function setMetrics(metrics: 'off' | 'open' | 'key', env: Record<string, string>): Promise<TestHolt> {
  return startHolt({
    env,
    configure: (config) => {
      config.server.metrics = metrics;
    },
  });
}

describe('who may read it', () => {
  test('who may use the API, unless it is set otherwise', async () => {
    await using locked = await startHolt({ env: { HOLT_API_KEY: KEY } });
    assertError(await call('GET', `${locked.url}/metrics`), 401);
    const answer = await call('GET', `${locked.url}/metrics`, authorized);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    await using local = await startHolt();
    assert.equal((await call('GET', `${local.url}/metrics`)).status, 200);
    const foreign = { headers: { origin: 'https://elsewhere.example' } };
    assertError(await call('GET', `${local.url}/metrics`, foreign), 403);
  });

  test('open: everybody, though the API has a key', async () => {
    await using open = await setMetrics('open', { HOLT_API_KEY: KEY });
    assert.equal((await call('GET', `${open.url}/metrics`)).status, 200);
    assertError(await call('GET', `${open.url}/v1/models`), 401);
  });

  test('off: there is no such URL', async () => {
    await using off = await setMetrics('off', { HOLT_API_KEY: KEY });
    assertError(await call('GET', `${off.url}/metrics`, authorized), 404, { code: 'unknown_url' });
  });
});

describe('what is counted', () => {
  let holt: TestHolt;
  before(async () => {
    holt = await startWatched();
  });
  after(() => holt.stop());

  test('a background response, from its create to its end', async () => {
    const earlier = await Scrape.of(holt);
    const reader = await EventReader.create(holt, { model: 'known', input: 'Hi', background: true });
    const events = await reader.rest();
    const later = await Scrape.until(
      holt,
      (scrape) =>
        scrape.since(earlier, 'holt_http')[
          'holt_http_requests_total{method="POST",route="/v1/responses",status="2xx"}'
        ] === 1,
      'the request is counted',
    );
    assert.deepEqual(later.since(earlier, 'holt_responses_ended_total'), {
      'holt_responses_ended_total{kind="background",model="known",status="completed"}': 1,
    });
    assert.deepEqual(later.since(earlier, 'holt_provider'), {
      'holt_provider_requests_total{provider="upstream"}': 1,
    });
    assert.equal(later.since(earlier, 'holt_create_commit_seconds_count')['holt_create_commit_seconds_count'], 1);
    const first = 'holt_first_output_seconds_count{kind="background"}';
    assert.equal(later.since(earlier, first)[first], 1);
    // created, queued and in_progress come with the row, all that follows in groups of appends.
    assert.equal(later.since(earlier, 'holt_commit_events_sum')['holt_commit_events_sum'], events.length - 3);
    const groups = later.value('holt_commit_seconds_count') ?? 0;
    assert.ok(groups > 0 && groups <= events.length - 3);
    for (const name of ['events', 'bytes']) assert.equal(later.value(`holt_commit_${name}_count`), groups);
    assert.ok((later.value('holt_commit_bytes_sum') ?? 0) > 100);
    for (const name of ['holt_commit_seconds_sum', 'holt_create_commit_seconds_sum']) {
      assert.ok((later.value(name) ?? 0) > 0, name);
    }
    assert.ok((later.value('holt_store_bytes{file="database"}') ?? 0) > 10_000);
    assert.ok((later.value('holt_store_bytes{file="wal"}') ?? 0) > 10_000);
    assert.equal(later.value('holt_build_info{version="0.1.0"}'), 1);
  });

  test('every kind and every end', async () => {
    await upstream.script('gated', [{ delta: { content: 'I begin' } }, { gate: 'never' }]);
    await upstream.script('refusing', { reply: { status: 400, body: { error: { message: 'No.' } } } });
    await upstream.script('cut', [{ delta: { content: 'I be' } }, { finish: 'length' }, { done: true }]);
    const earlier = await Scrape.of(holt);
    await create(holt, { model: 'known', input: 'Hi' });
    await create(holt, { model: 'cut', input: 'Hi' });
    await runToEnd(holt, { model: 'refusing', input: 'Hi' });
    assertError(await post(holt, { model: 'refusing', input: 'Hi' }), 400);
    const { id } = await create(holt, { model: 'gated', input: 'Hi', background: true });
    await upstream.waitForRequest('gated');
    await cancel(holt, id);
    const foreground = await EventReader.create(holt, { model: 'known', input: 'Hi' });
    await foreground.rest();
    const later = await Scrape.of(holt);
    assert.deepEqual(later.since(earlier, 'holt_responses_ended_total'), {
      'holt_responses_ended_total{kind="foreground",model="known",status="completed"}': 2,
      'holt_responses_ended_total{kind="foreground",model="other",status="incomplete"}': 1,
      'holt_responses_ended_total{kind="background",model="other",status="failed"}': 1,
      'holt_responses_ended_total{kind="background",model="other",status="cancelled"}': 1,
    });
    assert.equal(later.value('holt_first_output_seconds_count{kind="foreground"}'), 1, 'of a stream');
  });

  test('what a provider refuses, and what is tried again', async () => {
    const busy = { status: 429, body: { error: { message: 'Slow down.' } } };
    await upstream.script('busy', {
      first: [busy, { status: 500, body: {} }],
      steps: [{ delta: { content: 'At last.' } }, { finish: 'stop' }, { done: true }],
    });
    const earlier = await Scrape.of(holt);
    await runToEnd(holt, { model: 'busy', input: 'Hi' });
    assert.deepEqual((await Scrape.of(holt)).since(earlier, 'holt_provider'), {
      'holt_provider_requests_total{provider="upstream"}': 2 + 1,
      'holt_provider_retries_total{provider="upstream"}': 2,
      'holt_provider_errors_total{error="upstream_rate_limited",provider="upstream"}': 1,
      'holt_provider_errors_total{error="upstream_failed",provider="upstream"}': 1,
    });
  });

  test('deliveries of webhooks', async () => {
    await using receiver = await Receiver.start();
    receiver.react = ({ path }) => (path === '/refused' ? 500 : 204);
    const { id } = await subscribe(holt, receiver.url('/refused'));
    const earlier = await Scrape.of(holt);
    await runToEnd(holt, { model: 'known', input: 'Hi' });
    const key = (outcome: string): string => `holt_webhook_attempts_total{outcome="${outcome}"}`;
    const grown = (scrape: Scrape): unknown => scrape.since(earlier, 'holt_webhook')[key('pending')];
    await Scrape.until(holt, (scrape) => grown(scrape) === 1, 'an attempt that was not taken');
    await holt.client.webhooks.delete(id);
    await subscribe(holt, receiver.url('/taken'));
    await runToEnd(holt, { model: 'known', input: 'Hi' });
    await Scrape.until(holt, (s) => s.since(earlier, key('delivered'))[key('delivered')] === 1, 'one that was');
  });

  test('requests by route, method and class of status', async () => {
    const earlier = await Scrape.of(holt);
    await get(holt, 'models/nobody');
    await call('HEAD', `${holt.url}/healthz`);
    await call('OPTIONS', `${holt.url}/v1/responses`);
    await call('GET', `${holt.url}/v1/responses/resp_1?stream=true`);
    await call('GET', `${holt.url}/%zz`);
    const socket = connect(Number(new URL(holt.url).port), '127.0.0.1');
    socket.resume().end('NO HTTP\r\n\r\n');
    await once(socket, 'close');
    const wanted = {
      'holt_http_requests_total{method="GET",route="/v1/models/*",status="4xx"}': 1,
      'holt_http_requests_total{method="HEAD",route="/healthz",status="2xx"}': 1,
      'holt_http_requests_total{method="OPTIONS",route="/v1/responses",status="2xx"}': 1,
      'holt_http_requests_total{method="GET",route="/v1/responses/:id",status="4xx"}': 1,
      'holt_http_requests_total{method="GET",route="unknown",status="4xx"}': 1,
      'holt_http_requests_total{method="other",route="unknown",status="4xx"}': 1,
    };
    const later = await Scrape.until(
      holt,
      (scrape) => Object.keys(scrape.since(earlier, 'holt_http')).length > Object.keys(wanted).length,
      'the requests, and the scrapes themselves',
    );
    const { 'holt_http_requests_total{method="GET",route="/metrics",status="2xx"}': scrapes, ...others } = later.since(
      earlier,
      'holt_http',
    );
    assert.ok((scrapes ?? 0) > 0);
    assert.deepEqual(others, wanted);
  });
});

test('docs/OPERATIONS.md has every figure, with its type and its labels', async () => {
  const text = await readFile(join(ROOT, 'docs/OPERATIONS.md'), 'utf8');
  const [, section = ''] = /\n## Metrics\n([\s\S]*?)\n## /.exec(text) ?? [];
  const rows = section.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
  const documented = rows
    .filter(([, name]) => name?.startsWith('`holt_') === true)
    .map(([, name = '', type, labels = '', meaning = '']) => {
      assert.ok(meaning.length > 5, name);
      return { name: name.slice(1, -1), type, labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label) };
    });
  await using holt = await startWatched();
  // So that each of them has a series.
  await upstream.script('failing', { reply: { status: 400, body: {} } });
  await runToEnd(holt, { model: 'failing', input: 'Hi' });
  await runToEnd(holt, { model: 'known', input: 'Hi' });
  const { families } = await Scrape.until(holt, (scrape) => scrape.series('holt_http').length > 0, 'a request');
  const served = [...families.values()].filter(({ name }) => name.startsWith('holt_'));
  assert.deepEqual(
    documented,
    served.map(({ name, type, samples }) => ({
      name,
      type,
      labels: Object.keys(samples[0]?.labels ?? {}).filter((label) => label !== 'le'),
    })),
  );
  for (const { name, type, help } of served) {
    assert.ok(help.length > 5, name);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
  }
  for (const name of [
    'nodejs_eventloop_lag_p99_seconds',
    'process_resident_memory_bytes',
    'process_cpu_seconds_total',
  ]) {
    assert.ok(families.has(name), name);
    assert.ok(section.includes(`\`${name}\``), name);
  }
});
