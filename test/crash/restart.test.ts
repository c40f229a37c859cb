import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ResponseStreamEvent } from 'openai/resources/responses/responses.js';
import { clientOf } from '../support/holt.ts';
import { checkStreamed, isNumber, startStream, wholeLog } from './clients.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { Machine } from './machine.ts';

/** `recovery.on_crash: restart`: what had shown output when its server was killed runs again, in new items. */

const TIMEOUT = { timeout: 60_000 };
const RESTART = { recovery: { on_crash: 'restart' } };

/** With an upstream that outlives the server, so that a run is held where the kill is to hit it. */
function behind({ url }: Upstream): object {
  return { ...RESTART, providers: { up: { kind: 'chat', base_url: url } }, models: { '*': 'up' } };
}

describe('restarted after a crash', { concurrency: 2 }, () => {
  for (const [what, deltas, items] of [
    ['a text', [{ content: 'Once' }, { content: ' upon' }], ['message incomplete', 'message completed']],
    [
      'a thought',
      [{ reasoning_content: 'Hm' }, { reasoning_content: ' upon' }],
      ['reasoning incomplete', 'message completed'],
    ],
    [
      'a text after a thought',
      [{ reasoning_content: 'Hm' }, { content: 'Once' }, { content: ' upon' }],
      ['reasoning completed', 'message incomplete', 'message completed'],
    ],
  ] as const) {
    test(`killed in ${what}: one history, with the items of both runs`, TIMEOUT, async ({ signal }) => {
      await using upstream = await startUpstream();
      await using machine = await Machine.start(signal, behind(upstream));
      await upstream.script('otter', [...deltas.map((delta) => ({ delta })), { gate: 'never' }]);
      const { history } = await startStream(machine.url, {}, ({ data }) => data['delta'] === ' upon');
      await machine.kill();
      await upstream.script('otter', [{ delta: { content: 'Once upon a time' } }, { finish: 'stop' }, { done: true }]);
      await machine.start();

      const final = await checkStreamed(machine.url, history);
      assert.equal(final.status, 'completed');
      assert.equal(final.error, null);
      assert.deepEqual(
        final.output.map(({ type, status }) => `${type} ${status}`),
        items,
      );
      const log = await wholeLog(machine.url, history.id);
      const last = items.length - 1;
      const place = (event: string, index: number): number =>
        log.findIndex((frame) => frame.event === event && frame.data['output_index'] === index);
      const [closed, opened] = [
        place('response.output_item.done', last - 1),
        place('response.output_item.added', last),
      ];
      assert.ok(closed !== -1 && closed < opened, 'what was open is closed before the next item is opened');
      assert.equal(log.filter(({ event }) => event === 'response.in_progress').length, 1);
    });
  }

  test("the official client's accumulating stream goes over the crash", TIMEOUT, async ({ signal }) => {
    await using upstream = await startUpstream();
    await using machine = await Machine.start(signal, behind(upstream));
    await upstream.script('otter', [
      { delta: { content: 'Once' } },
      { delta: { content: ' upon' } },
      { gate: 'never' },
    ]);
    const asked = clientOf(machine.url).responses.stream({ model: 'otter', input: 'Tell a story.', background: true });
    const seen: ResponseStreamEvent[] = [];
    let id = '';
    let killed: Promise<void> | undefined;
    await assert.rejects(async () => {
      for await (const event of asked) {
        seen.push(event);
        if (event.type === 'response.created') ({ id } = event.response);
        if (event.type === 'response.output_text.delta' && event.delta === ' upon') killed = machine.kill();
      }
    });
    await killed;
    await upstream.script('otter', [{ delta: { content: 'Once upon a time' } }, { finish: 'stop' }, { done: true }]);
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
    assert.deepEqual(texts, ['Once upon', 'Once upon a time']);
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
