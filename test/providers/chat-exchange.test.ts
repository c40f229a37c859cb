import assert from 'node:assert/strict';
import test from 'node:test';
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';
import { Exchange } from '../../server/src/providers/chat/exchange.ts';
import { FakeClock } from '../support/clock.ts';

/** What comes in together is one batch, and what nobody takes stops the socket. */

const timeouts = { connectMs: 1_000, headersMs: 2_000, idleMs: 3_000, tailMs: 4_000 };

test('what one read of the socket brings is one wake-up and one batch', async () => {
  const { exchange, handler, controller } = open();
  const woken = exchange.wait();
  for (let n = 0; n < 200; n += 1) handler.onResponseData?.(controller, Buffer.from('ab'));
  await woken;
  assert.equal(exchange.take()?.length, 400);
  assert.equal(exchange.take(), undefined);
});

test('the socket is paused beyond 256 kB and goes on when they are taken', () => {
  const { exchange, handler, controller } = open();
  const chunk = Buffer.alloc(64 * 1024);
  for (let n = 0; n < 4; n += 1) handler.onResponseData?.(controller, chunk);
  assert.equal(controller.paused, false);
  handler.onResponseData?.(controller, chunk);
  assert.equal(controller.paused, true);
  assert.equal(exchange.take()?.length, 5 * 64 * 1024);
  assert.equal(controller.paused, false);
});

test('a slow reader is not a silent upstream', () => {
  const { exchange, handler, controller, clock } = open();
  handler.onResponseData?.(controller, Buffer.alloc(300 * 1024));
  assert.deepEqual(clock.timers, []);
  exchange.take();
  assert.deepEqual(clock.timers, [timeouts.idleMs]);
});

test('the end is not told before the bytes that came with it are taken', async () => {
  const { exchange, handler, controller } = open();
  handler.onResponseData?.(controller, Buffer.from('last'));
  handler.onResponseEnd?.(controller, {});
  await exchange.wait();
  assert.equal(exchange.outcome, undefined);
  exchange.take();
  assert.deepEqual(exchange.outcome, { type: 'end' });
});

test('a request that is aborted before it has a connection is not sent on it', () => {
  const { exchange, handler } = open({ begun: false });
  exchange.abort();
  const late = new FakeController();
  handler.onRequestStart?.(late, {});
  assert.equal(late.aborted, true);
  assert.deepEqual(exchange.outcome, { type: 'aborted' });
});

test('a body beyond its limit is left to the socket', async () => {
  const { exchange, handler, controller } = open();
  const chunk = Buffer.alloc(64 * 1024, 'x');
  handler.onResponseData?.(controller, chunk);
  assert.equal((await exchange.readBody(64 * 1024)).length, 64 * 1024);
  for (let n = 0; n < 5; n += 1) handler.onResponseData?.(controller, chunk);
  assert.equal(controller.paused, true);
  exchange.close();
  assert.equal(controller.aborted, true);
});

class FakeController implements Dispatcher.DispatchController {
  aborted = false;
  paused = false;
  reason: Error | null = null;

  abort(reason: Error): void {
    this.aborted = true;
    this.reason = reason;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }
}

class FakeAgent extends Agent {
  handler: Dispatcher.DispatchHandler = {};

  override dispatch(_: Agent.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.handler = handler;
    return true;
  }
}

function open(options = { begun: true }) {
  const clock = new FakeClock();
  const agent = new FakeAgent();
  const controller = new FakeController();
  const exchange = new Exchange(agent, { path: '/', method: 'GET' }, clock, timeouts);
  if (options.begun) {
    agent.handler.onRequestStart?.(controller, {});
    agent.handler.onResponseStart?.(controller, 200, {});
    void exchange.wait();
  }
  return { exchange, handler: agent.handler, controller, clock };
}
