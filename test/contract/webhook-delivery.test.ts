import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import type { Log } from '../../server/src/domain/ports.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';
import { Receiver, eventIn } from '../support/webhook-receiver.ts';
import type { Hit } from '../support/webhook-receiver.ts';
import { LOCAL, deliveriesOf, deliveryUntil, headersOf, redeliver, runToEnd, subscribe } from './webhook-endpoint.ts';
import { assertError, otter, post, remove } from './wire.ts';

/** How deliveries go on when they don't arrive at once. The clock belongs to the tests. */

const COMPLETES = otter({ tokens: 3 });
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** A hundredth longer than the plain pause, so that no pause is as long as another timer. */
const RANDOM = 0.51;
const FIRST_PAUSE = 5_050;

function startStill(clock: FakeClock, log?: Log): Promise<TestHolt> {
  return startHolt({ ...LOCAL, overrides: { clock, random: () => RANDOM, ...(log !== undefined && { log }) } });
}

const ids = (hits: Hit[]): unknown[] => hits.map((hit) => hit.headers['webhook-id']);

test('what is refused is tried again after longer and longer pauses for 72 hours, under one id, then it has failed', async () => {
  const clock = new FakeClock();
  await using receiver = await Receiver.start();
  await using holt = await startStill(clock);
  receiver.react = () => 500;
  const endpoint = await subscribe(holt, receiver.url());
  await runToEnd(holt, COMPLETES);
  const began = clock.now();
  const at: number[] = [];
  for (let tries = 1; ; tries += 1) {
    const { state, next_attempt_at: next } = await deliveryUntil(
      holt,
      endpoint.id,
      ({ attempts }) => attempts.length === tries,
    );
    at.push(clock.now() - began);
    if (state === 'failed') break;
    assert.equal(state, 'pending');
    assert.ok(next !== null);
    clock.advance(next * 1000 - clock.now());
  }
  const pauses = at.slice(1).map((time, index) => time - (at[index] ?? 0));
  const growing = pauses.slice(0, -1);
  assert.deepEqual(
    growing,
    growing.toSorted((a, b) => a - b),
  );
  assert.ok((pauses[0] ?? 0) <= 7_500 && (growing.at(-1) ?? 0) <= 6 * HOUR, JSON.stringify(pauses));
  assert.equal(at.at(-1), 72 * HOUR);
  assert.equal(receiver.hits.length, at.length);
  assert.equal(new Set(ids(receiver.hits)).size, 1);
  assert.equal(new Set(receiver.hits.map(({ body }) => body)).size, 1);
  assert.deepEqual(
    new Set((await deliveriesOf(holt, endpoint.id))[0]?.attempts.map(({ status }) => status)),
    new Set([500]),
  );
});

for (const status of [300, 301, 302, 307, 308]) {
  test(`a ${status} is a failure, and its target is never asked`, async () => {
    const clock = new FakeClock();
    await using receiver = await Receiver.start();
    await using holt = await startStill(clock);
    receiver.react = () => (response) => response.writeHead(status, { location: receiver.url('/elsewhere') }).end();
    const endpoint = await subscribe(holt, receiver.url());
    await runToEnd(holt, COMPLETES);
    const { state, attempts } = await deliveryUntil(holt, endpoint.id, (delivery) => delivery.attempts.length > 0);
    assert.equal(state, 'pending');
    assert.deepEqual([attempts[0]?.status, attempts[0]?.error], [status, null]);
    receiver.react = () => 200;
    await clock.waitForTimer(FIRST_PAUSE);
    clock.advance(FIRST_PAUSE);
    await deliveryUntil(holt, endpoint.id, (delivery) => delivery.state === 'delivered');
    assert.deepEqual(
      receiver.hits.map(({ path }) => path),
      ['/hook', '/hook'],
    );
  });
}

test('a receiver that was down gets its webhooks when it is back', async () => {
  const clock = new FakeClock();
  await using receiver = await Receiver.start();
  await using holt = await startStill(clock);
  const endpoint = await subscribe(holt, receiver.url());
  await receiver.goDown();
  const { id } = await runToEnd(holt, COMPLETES);
  const { attempts } = await deliveryUntil(holt, endpoint.id, (delivery) => delivery.attempts.length === 1);
  assert.equal(attempts[0]?.status, null);
  assert.match(attempts[0]?.error ?? '', /ECONNREFUSED/);
  await receiver.comeBack();
  await clock.waitForTimer(FIRST_PAUSE);
  clock.advance(FIRST_PAUSE);
  const [hit] = await receiver.count(1);
  assert.equal(eventIn(hit).data.id, id);
});

test('an endpoint that does not answer holds up no other, and its attempt ends after ten seconds', async () => {
  const clock = new FakeClock();
  await using receiver = await Receiver.start();
  await using holt = await startStill(clock);
  receiver.react = ({ path }) => (path === '/silent' ? () => undefined : 204);
  const silent = await subscribe(holt, receiver.url('/silent'));
  await subscribe(holt, receiver.url('/quick'));
  const ended: string[] = [];
  for (let count = 0; count < 12; count += 1) ended.push((await runToEnd(holt, COMPLETES)).id);
  await receiver.until(() => receiver.at('/quick').length === ended.length, 'the other endpoint is told everything');
  assert.ok(receiver.at('/silent').length < ended.length, 'not all at once');
  clock.advance(10_000);
  const { attempts } = await deliveryUntil(holt, silent.id, ({ attempts }) => attempts.length > 0);
  assert.match(attempts[0]?.error ?? '', /no answer within 10 s/);
});

test('an answer without an end is not read, and counts by its status', async () => {
  const clock = new FakeClock();
  await using receiver = await Receiver.start();
  await using holt = await startStill(clock);
  const cut = Promise.withResolvers<void>();
  receiver.react = () => (response) => {
    response.once('close', cut.resolve);
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
    };
    response.on('drain', more);
    more();
  };
  const endpoint = await subscribe(holt, receiver.url());
  await runToEnd(holt, COMPLETES);
  await cut.promise;
  const delivery = await deliveryUntil(holt, endpoint.id, ({ attempts }) => attempts.length > 0);
  assert.equal(delivery.state, 'delivered');
});

test('while a secret is changed both sign for 24 hours, and then only the new one', async () => {
  const clock = new FakeClock(Date.now());
  await using receiver = await Receiver.start();
  await using holt = await startStill(clock);
  const { webhooks } = holt.client;
  const endpoint = await subscribe(holt, receiver.url());
  const rotated = await webhooks.rotateSecret(endpoint.id, { keep_old_secret_active_for_24_hours: true });
  const opens = (hit: Hit | undefined, secret: string): Promise<boolean> =>
    webhooks.unwrap(hit?.body ?? '', headersOf(hit), secret, 1e9).then(
      () => true,
      (error: unknown) => {
        assert.ok(error instanceof OpenAI.InvalidWebhookSignatureError);
        return false;
      },
    );
  const next = async (): Promise<Hit | undefined> => {
    const before = receiver.hits.length;
    await runToEnd(holt, COMPLETES);
    return (await receiver.count(before + 1)).at(-1);
  };
  const during = await next();
  assert.equal(String(during?.headers['webhook-signature']).split(' ').length, 2);
  assert.deepEqual(
    [await opens(during, endpoint.signing_secret), await opens(during, rotated.signing_secret)],
    [true, true],
  );
  clock.advance(DAY);
  const later = await next();
  assert.deepEqual(
    [await opens(later, endpoint.signing_secret), await opens(later, rotated.signing_secret)],
    [false, true],
  );
  const anew = await webhooks.rotateSecret(endpoint.id);
  const last = await next();
  assert.deepEqual([await opens(last, rotated.signing_secret), await opens(last, anew.signing_secret)], [false, true]);
});

test('an endpoint that has taken nothing for days is disabled, and told again when it is changed', async () => {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const log: Log = { debug() {}, info() {}, error() {}, warn: (_, message) => warnings.push(message) };
  await using receiver = await Receiver.start();
  await using holt = await startStill(clock, log);
  receiver.react = () => 500;
  const endpoint = await subscribe(holt, receiver.url());
  await runToEnd(holt, COMPLETES);
  await deliveryUntil(holt, endpoint.id, ({ attempts }) => attempts.length === 1);
  clock.advance(5 * DAY);
  const failed = await deliveryUntil(holt, endpoint.id, ({ state }) => state === 'failed');
  const disabled = (await holt.client.webhooks.retrieve(endpoint.id)) as typeof endpoint;
  assert.equal(disabled.disabled_at, Math.floor(clock.now() / 1000));
  assert.match(disabled.disabled_reason ?? '', /days/);
  assert.equal(warnings.filter((message) => message.includes('disabled')).length, 1);
  await runToEnd(holt, COMPLETES);
  assert.equal((await deliveriesOf(holt, endpoint.id)).length, 1);
  assertError(await redeliver(holt, endpoint.id, failed.id), 400, { code: 'webhook_endpoint_disabled' });

  receiver.react = () => 200;
  assert.equal(((await holt.client.webhooks.update(endpoint.id)) as typeof endpoint).disabled_at, null);
  const { id } = await runToEnd(holt, COMPLETES);
  const hits = await receiver.count(3);
  assert.equal(eventIn(hits.at(-1)).data.id, id);
  const again = await redeliver(holt, endpoint.id, failed.id);
  assert.equal(again.status, 200, again.text);
  const [, , , byHand] = await receiver.count(4);
  assert.equal(byHand?.headers['webhook-id'], failed.id);
});

test('a delivery by hand goes out under the same id, and the history says what became of each attempt', async () => {
  await using receiver = await Receiver.start();
  await using holt = await startStill(new FakeClock());
  const endpoint = await subscribe(holt, receiver.url());
  const { id } = await runToEnd(holt, COMPLETES);
  const first = await deliveryUntil(holt, endpoint.id, ({ state }) => state === 'delivered');
  receiver.react = () => 201;
  assert.equal((await redeliver(holt, endpoint.id, first.id)).status, 200);
  const delivery = await deliveryUntil(holt, endpoint.id, ({ attempts }) => attempts.length === 2);
  assert.deepEqual([delivery.state, delivery.response_id, delivery.type], ['delivered', id, 'response.completed']);
  assert.equal(delivery.next_attempt_at, null);
  assert.deepEqual(
    delivery.attempts.map(({ status }) => status),
    [204, 201],
  );
  assert.deepEqual(new Set(ids(receiver.hits)), new Set([first.id]));
});

test('what was not delivered yet goes with its response, or with its endpoint', async () => {
  const clock = new FakeClock();
  await using receiver = await Receiver.start();
  await using holt = await startStill(clock);
  receiver.react = ({ path }) => (path === '/down' ? 500 : 204);
  const endpoint = await subscribe(holt, receiver.url('/down'));
  const { id } = await runToEnd(holt, COMPLETES);
  await deliveryUntil(holt, endpoint.id, ({ attempts }) => attempts.length === 1);
  assert.equal((await remove(holt, id)).status, 200);
  assert.deepEqual(await deliveriesOf(holt, endpoint.id), []);
  await runToEnd(holt, COMPLETES);
  await receiver.until(() => receiver.at('/down').length === 2, 'the next one');
  await holt.client.webhooks.delete(endpoint.id);
  await subscribe(holt, receiver.url('/up'));
  clock.advance(DAY);
  await runToEnd(holt, COMPLETES);
  await receiver.until(() => receiver.at('/up').length === 1, 'the other endpoint');
  assert.equal(receiver.at('/down').length, 2);
});

test('what a stop broke off is sent by the next process', async () => {
  await using receiver = await Receiver.start();
  const data = await temporaryDirectory();
  const holt = await startHolt({ ...LOCAL, data });
  receiver.react = () => () => undefined;
  await subscribe(holt, receiver.url());
  await post(holt, { ...COMPLETES, background: true });
  const [broken] = await receiver.count(1);
  await holt.stop();
  receiver.react = () => 204;
  await using _next = await startHolt({ ...LOCAL, data });
  const hits = await receiver.count(2);
  assert.equal(hits[1]?.headers['webhook-id'], broken?.headers['webhook-id']);
});
