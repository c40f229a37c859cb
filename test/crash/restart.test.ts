import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ResponseStreamEvent } from 'openai/resources/responses/responses.js';
import { clientOf } from '../support/holt.ts';
import { checkStreamed, isNumber, startStream, wholeLog } from './clients.ts';
import { Machine } from './machine.ts';

/** `recovery.on_crash: restart`: what had shown output when its server was killed runs again, in new items. */

const TIMEOUT = { timeout: 60_000 };
const RESTART = { recovery: { on_crash: 'restart' } };

describe('restarted after a crash', { concurrency: 2 }, () => {
  for (const at of [3, 5, 20]) {
    test(`killed after event ${at}: one history, with the items of both runs`, TIMEOUT, async ({ signal }) => {
      await using machine = await Machine.start(signal, RESTART);
      const script = { tokens: 60, first_token_ms: 0, interval_ms: 20, reasoning_tokens: at === 5 ? 8 : 0 };
      const { history } = await startStream(machine.url, script, isNumber(at));
      await machine.restart();

      const final = await checkStreamed(machine.url, history);
      assert.equal(final.status, 'completed');
      assert.equal(final.error, null);
      const statuses = final.output.map(({ type, status }) => `${type} ${status}`);
      assert.deepEqual(
        statuses,
        at === 5
          ? ['reasoning incomplete', 'reasoning completed', 'message completed']
          : ['message incomplete', 'message completed'],
      );
      const log = await wholeLog(machine.url, history.id);
      const closed = log.findIndex(({ event }) => event === 'response.output_item.done');
      const next = log.findIndex(({ event, data }) => event.endsWith('item.added') && data['output_index'] === 1);
      assert.ok(closed !== -1 && closed < next, 'the items so far are closed before the next one is opened');
      assert.equal(log.filter(({ event }) => event === 'response.in_progress').length, 1);
    });
  }

  test("the official client's accumulating stream goes over the crash", TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal, RESTART);
    const asked = clientOf(machine.url).responses.stream({
      model: 'otter',
      input: 'Tell me about otters.',
      background: true,
      metadata: { 'scripted.tokens': '60', 'scripted.first_token_ms': '0', 'scripted.interval_ms': '20' },
    });
    const seen: ResponseStreamEvent[] = [];
    let id = '';
    let killed: Promise<void> | undefined;
    await assert.rejects(async () => {
      for await (const event of asked) {
        seen.push(event);
        if (event.type === 'response.created') ({ id } = event.response);
        if (event.sequence_number === 20) killed = machine.kill();
      }
    });
    await killed;
    await machine.start();
    const cursor = seen.at(-1)?.sequence_number ?? -1;
    const resumed = clientOf(machine.url).responses.stream({ response_id: id, starting_after: cursor });
    for await (const event of resumed) seen.push(event);
    assert.deepEqual(
      seen.map((event) => event.sequence_number),
      seen.map((_, index) => index),
    );
    const final = await resumed.finalResponse();
    assert.equal(final.status, 'completed');
    const texts = final.output.map((item) => {
      const [part] = item.type === 'message' ? item.content : [];
      return part?.type === 'output_text' ? part.text : '';
    });
    assert.equal(texts.length, 2);
    assert.equal(texts[1]?.split(' ').length, 60);
    assert.ok(texts[0] !== '' && texts[1]?.startsWith(texts[0] ?? '?'), 'the second run says all of it');
    const written = seen.flatMap((event) => (event.type === 'response.output_text.delta' ? [event.delta] : []));
    assert.equal(written.join(''), texts.join(''));
    assert.deepEqual(
      (await clientOf(machine.url).responses.retrieve(id)).output.map(({ id }) => id),
      final.output.map(({ id }) => id),
    );
  });

  test('killed in each of three runs: failed, with what each had shown', TIMEOUT, async ({ signal }) => {
    await using machine = await Machine.start(signal, RESTART);
    const { history } = await startStream(machine.url, { tokens: 100_000, first_token_ms: 0 }, isNumber(8));
    for (const items of [1, 2, 3]) {
      const client = clientOf(machine.url);
      // Until this run has shown something, so that the kill hits it there.
      for await (const event of await client.responses.retrieve(history.id, { stream: true })) {
        if (event.type === 'response.output_text.delta' && event.output_index === items - 1) break;
      }
      await machine.restart();
    }
    const final = await checkStreamed(machine.url, history);
    assert.equal(final.status, 'failed');
    assert.equal(final.error?.code, 'server_error');
    assert.match(final.error?.message ?? '', /each time/);
    assert.deepEqual(
      final.output.map(({ status }) => status),
      ['incomplete', 'incomplete', 'incomplete'],
    );
  });
});
