import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import OpenAI from 'openai';
import type { Store } from '../../server/src/domain/ports.ts';
import { ROOT, spawnHolt, startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { findPython, runPython } from '../support/python.ts';
import { skipUnavailable } from '../support/unavailable.ts';
import { Receiver, eventIn } from '../support/webhook-receiver.ts';
import { LOCAL, deliveriesOf, headersOf, runToEnd, subscribe } from './webhook-endpoint.ts';
import { SILENT, assertError, call, cancel, create, get, otter, post, remove } from './wire.ts';

/** What endpoints are told, and how they know that it is true (contract.md §4.19, §1.10). */

let holt: TestHolt;
before(async () => {
  holt = await startHolt(LOCAL);
});
after(() => holt.stop());

const COMPLETES = otter({ tokens: 3 });
const FAILS = otter({ fail_after: 2 });
const BREAKS_OFF = otter({ tokens: 100 }, { max_output_tokens: 16 });

async function runCancelled(served: TestHolt): Promise<{ id: string }> {
  const { id } = await create(served, otter(SILENT, { background: true }));
  assert.equal((await cancel(served, id)).status, 200);
  return { id };
}

test('A59 unwrap() accepts what arrives, and neither a changed body nor one of 301 seconds ago; the webhook-id stays on a retry; one event for each terminal state, none for foreground', async () => {
  await using receiver = await Receiver.start();
  receiver.react = () => (receiver.hits.length === 0 ? 503 : 204);
  const endpoint = await subscribe(holt, receiver.url());
  await post(holt, COMPLETES);
  const first = await runToEnd(holt, COMPLETES);
  // The real clock: the first pause is between 2.5 and 7.5 seconds.
  const [refused, taken] = await receiver.count(2);
  assert.equal(taken?.headers['webhook-id'], refused?.headers['webhook-id']);
  assert.equal(taken?.body, refused?.body);

  const ends = [
    first,
    await runToEnd(holt, FAILS),
    await runToEnd(holt, BREAKS_OFF),
    await runCancelled(holt),
    await runToEnd(holt, COMPLETES),
  ];
  const told = (await receiver.count(6)).slice(1);
  const types = ['completed', 'failed', 'incomplete', 'cancelled', 'completed'].map((type) => `response.${type}`);
  assert.deepEqual(
    new Map(told.map((hit) => [eventIn(hit).data.id, eventIn(hit).type])),
    new Map(ends.map(({ id }, index) => [id, types[index]!])),
  );
  assert.equal(new Set(told.map((hit) => hit.headers['webhook-id'])).size, told.length);
  assert.equal((await deliveriesOf(holt, endpoint.id)).length, ends.length);

  for (const hit of told) {
    const event = await holt.client.webhooks.unwrap(hit.body, headersOf(hit), endpoint.signing_secret);
    assert.equal(event.id, hit.headers['webhook-id']);
    assert.deepEqual(Object.keys(event), ['id', 'object', 'type', 'created_at', 'data']);
    await assert.rejects(
      holt.client.webhooks.unwrap(hit.body.replace('resp_', 'resp_f'), headersOf(hit), endpoint.signing_secret),
      OpenAI.InvalidWebhookSignatureError,
    );
    const { body } = hit;
    const old = headersOf(hit);
    old.set('webhook-timestamp', String(Math.floor(Date.now() / 1000) - 301));
    await assert.rejects(holt.client.webhooks.unwrap(body, old, endpoint.signing_secret), /too old/);
  }
});

test('the Python client accepts what arrives, and no change of it', async (t) => {
  const python = await findPython();
  if ('missing' in python) return skipUnavailable(t, python.missing);
  await using receiver = await Receiver.start();
  const endpoint = await subscribe(holt, receiver.url());
  const { id } = await runToEnd(holt, COMPLETES);
  const [hit] = await receiver.count(1);
  const ran = await runPython(
    python.interpreter,
    { file: 'contract/python/webhook.py' },
    {
      OPENAI_BASE_URL: `${holt.url}/v1`,
      OPENAI_API_KEY: 'test',
      OPENAI_WEBHOOK_SECRET: endpoint.signing_secret,
      WEBHOOK: JSON.stringify(hit),
      RESPONSE_ID: id,
    },
  );
  assert.equal(ran.code, 0, ran.stderr);
});

test('an endpoint is told only what it asked for', async () => {
  await using receiver = await Receiver.start();
  await subscribe(holt, receiver.url('/failures'), ['response.failed']);
  await subscribe(holt, receiver.url('/all'));
  const completed = await runToEnd(holt, COMPLETES);
  const failed = await runToEnd(holt, FAILS);
  await receiver.count(3);
  const idsAt = (path: string) => receiver.at(path).map((hit) => eventIn(hit).data.id);
  assert.deepEqual(idsAt('/failures'), [failed.id]);
  assert.deepEqual(new Set(idsAt('/all')), new Set([completed.id, failed.id]));
});

test('a response that is deleted is told to nobody, though it had to be cancelled for that', async () => {
  await using receiver = await Receiver.start();
  const cancelled = Promise.withResolvers<void>();
  const told = Promise.withResolvers<void>();
  await using own = await startHolt({
    ...LOCAL,
    overrides: {
      // Between its end and its deletion somebody else's webhook arrives.
      wrapStore: wrapVerbs((store) => ({
        find: async (...args) => {
          const found = await store.find(...args);
          if (found?.status !== 'cancelled') return found;
          cancelled.resolve();
          await told.promise;
          return found;
        },
      })),
    },
  });
  const endpoint = await subscribe(own, receiver.url());
  const { id } = await create(own, otter(SILENT, { background: true }));
  const deleted = remove(own, id);
  await cancelled.promise;
  const other = await runToEnd(own, COMPLETES);
  await receiver.count(1);
  told.resolve();
  assert.equal((await deleted).status, 200);
  const [last] = await deliveriesOf(own, endpoint.id);
  assert.equal(last?.response_id, other.id);
  assert.deepEqual(
    receiver.hits.map((hit) => eventIn(hit).data.id),
    [other.id],
  );
});

/** Puts other verbs in the place of some of a store's. */
function wrapVerbs(verbs: (store: Store) => Partial<Store>): (store: Store) => Store {
  return (store) => {
    const replaced = verbs(store);
    return new Proxy(store, {
      get: (target, key) => {
        const verb: unknown = Reflect.get(key in replaced ? replaced : target, key);
        return typeof verb === 'function' ? verb.bind(target) : verb;
      },
    });
  };
}

test('an endpoint over https is reached with its certificate checked', async () => {
  const tls = (name: string) => readFile(join(ROOT, 'test/support/tls', name));
  const arrived = Promise.withResolvers<string>();
  const receiver = createServer({ key: await tls('key.pem'), cert: await tls('cert.pem') }, (request, response) => {
    arrived.resolve(String(request.headers['webhook-id']));
    response.writeHead(200).end();
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const { port } = receiver.address() as AddressInfo;
  const data = await temporaryDirectory();
  const config = join(data, 'holt.yaml');
  await writeFile(config, 'webhooks: { allow_private: true }');
  await using own = await spawnHolt({
    flags: ['--config', config],
    env: { NODE_EXTRA_CA_CERTS: join(ROOT, 'test/support/tls/ca.pem') },
  });
  const endpoint = await subscribe(own, `https://localhost:${port}/`);
  await runToEnd(own, COMPLETES);
  assert.equal((await deliveriesOf(own, endpoint.id))[0]?.id, await arrived.promise);
  receiver.closeAllConnections();
  receiver.close();
});

describe('endpoints', () => {
  test('are created, listed, changed and deleted by the official client; the secret is shown once', async () => {
    const { webhooks } = (await startClean()).client;
    const made = await webhooks.create({
      name: 'one',
      url: 'https://hooks.example/a',
      event_types: ['response.failed'],
    });
    assert.match(made.id, /^whe_/);
    assert.match(made.signing_secret, /^whsec_[\w+/]{32,}=*$/);
    assert.ok(Buffer.from(made.signing_secret.slice(6), 'base64').length >= 24);
    assert.equal(made.signing_secret_hint, `whsec_…${made.signing_secret.slice(-4)}`);
    const { signing_secret: secret, ...shown } = made;
    assert.deepEqual(await webhooks.retrieve(made.id), shown);
    assert.equal(made.object, 'webhook_endpoint');
    assert.ok(Math.abs(made.created_at - Date.now() / 1000) < 60);

    const changed = await webhooks.update(made.id, { name: 'other', event_types: ['response.completed'] });
    assert.deepEqual([changed.name, changed.event_types, changed.url], ['other', ['response.completed'], made.url]);
    for (const name of ['two', 'three']) {
      await webhooks.create({ name, url: 'https://hooks.example/b', event_types: ['response.failed'] });
    }
    const names: string[] = [];
    for await (const one of webhooks.list({ limit: 2 })) {
      names.push(one.name);
      assert.ok(!JSON.stringify(one).includes(secret));
      assert.ok(!('signing_secret' in one));
    }
    assert.deepEqual(names, ['three', 'two', 'other']);

    const rotated = await webhooks.rotateSecret(made.id, { keep_old_secret_active_for_24_hours: true });
    assert.notEqual(rotated.signing_secret, secret);
    assert.notEqual(rotated.signing_secret_hint, made.signing_secret_hint);
    assert.deepEqual(await webhooks.delete(made.id), {
      id: made.id,
      object: 'webhook_endpoint.deleted',
      deleted: true,
    });
    await assert.rejects(webhooks.retrieve(made.id), OpenAI.NotFoundError);
    assert.deepEqual((await webhooks.eventTypes.list()).data.toSorted(), [
      'response.cancelled',
      'response.completed',
      'response.failed',
      'response.incomplete',
    ]);
  });

  test('are tried with a sample that is signed like the others', async () => {
    await using receiver = await Receiver.start();
    const endpoint = await subscribe(holt, receiver.url());
    receiver.react = () => 418;
    assert.deepEqual(await holt.client.webhooks.test(endpoint.id, { event_type: 'response.failed' }), {
      object: 'webhook_endpoint.test',
      webhook_endpoint_id: endpoint.id,
      event_type: 'response.failed',
      success: true,
      status_code: 418,
    });
    const [hit] = receiver.hits;
    const event = await holt.client.webhooks.unwrap(hit?.body ?? '', headersOf(hit), endpoint.signing_secret);
    assert.equal(event.type, 'response.failed');
    await receiver.goDown();
    const path = `webhook_endpoints/${endpoint.id}/test`;
    const answer = await post(holt, { event_type: 'response.failed' }, {}, path);
    assertError(answer, 400, { code: 'webhook_endpoint_unreachable', param: 'url', message: /ECONNREFUSED/ });
  });

  const GOOD = { name: 'n', url: 'https://hooks.example/', event_types: ['response.completed'] };
  for (const [what, change, param] of [
    ['no name', { name: undefined }, 'name'],
    ['an empty name', { name: '' }, 'name'],
    ['a name of 257 characters', { name: 'n'.repeat(257) }, 'name'],
    ['a name that is no text', { name: 1 }, 'name'],
    ['no URL', { url: undefined }, 'url'],
    ['a URL of 2049 characters', { url: `https://hooks.example/${'a'.repeat(2027)}` }, 'url'],
    ['no list of events', { event_types: undefined }, 'event_types'],
    ['an empty list of events', { event_types: [] }, 'event_types'],
    ['an event that Holt does not have', { event_types: ['response.completed', 'batch.completed'] }, 'event_types[1]'],
  ] as const) {
    test(`${what} is refused, and nothing is made or changed`, async () => {
      const clean = await startClean();
      assertError(await post(clean, { ...GOOD, ...change }, {}, 'webhook_endpoints'), 400, { param });
      const { id } = await subscribe(clean, GOOD.url);
      const before = await get(clean, 'webhook_endpoints');
      if (Object.values(change)[0] !== undefined) {
        assertError(await post(clean, change, {}, `webhook_endpoints/${id}`), 400, { param });
      }
      assert.equal((await get(clean, 'webhook_endpoints')).text, before.text);
      await clean.client.webhooks.delete(id);
    });
  }

  test('a name of 256 and a URL of 2048 characters are taken', async () => {
    const url = `https://hooks.example/${'a'.repeat(2026)}`;
    const answer = await post(holt, { ...GOOD, name: 'n'.repeat(256), url }, {}, 'webhook_endpoints');
    assert.equal(answer.status, 200, answer.text);
  });

  test('an unknown id is a 404 on every verb, an unknown cursor a 400', async () => {
    const { id } = await subscribe(holt, GOOD.url);
    const base = `${holt.url}/v1/webhook_endpoints`;
    for (const [method, path, body] of [
      ['GET', 'whe_1'],
      ['POST', 'whe_1', { name: 'x' }],
      ['DELETE', 'whe_1'],
      ['POST', 'whe_1/rotate_secret', {}],
      ['POST', 'whe_1/test', { event_type: 'response.failed' }],
      ['GET', 'whe_1/deliveries'],
      ['POST', 'whe_1/deliveries/evt_1/redeliver'],
      ['POST', `${id}/deliveries/evt_1/redeliver`],
    ] as const) {
      const init = body === undefined ? {} : { body: JSON.stringify(body) };
      assertError(await call(method, `${base}/${path}`, init), 404, { param: null, code: null });
    }
    assertError(await get(holt, 'webhook_endpoints?after=whe_1'), 400, { param: 'after' });
    assertError(await get(holt, `webhook_endpoints/${id}/deliveries?after=evt_1`), 400, { param: 'after' });
    assertError(await get(holt, 'webhook_endpoints?limit=101'), 400, { param: 'limit' });
    assertError(await post(holt, { event_type: 'x' }, {}, `webhook_endpoints/${id}/test`), 400, {
      param: 'event_type',
    });
  });
});

let clean: Promise<TestHolt> | undefined;
after(async () => (await clean)?.stop());

/** A server that nothing was told to by tests of deliveries. */
function startClean(): Promise<TestHolt> {
  clean ??= startHolt();
  return clean;
}
