import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { Assembler } from '../../server/src/domain/assembler.ts';
import { Fold } from '../../server/src/domain/fold.ts';
import type { Provider, Store, UpstreamPlace } from '../../server/src/domain/ports.ts';
import type { UpstreamEvent } from '../../server/src/domain/upstream-event.ts';
import { choosePolicy } from '../../server/src/worker/choose-policy.ts';
import { countingIds, queuedResponse, stillClock } from '../support/arbitrary.ts';
import { startHolt, temporaryDirectory } from '../support/holt.ts';

/** Which policy of design.md §8 an orphan gets, and what the ones that providers take part in make of it. */

const TEXT: UpstreamEvent = { type: 'text', delta: 'Once' };
const CALL: UpstreamEvent = { type: 'tool_call', key: '0', name: 'f', arguments: '{}' };
const never = async function* (): AsyncGenerator<never> {};
const ABLE = { reattach: never, continueFrom: never };
const PLACE: UpstreamPlace = { ref: 'resp_upstream', cursor: 7 };

function logOf(...events: UpstreamEvent[]): Fold {
  const log = new Fold();
  const assembler = new Assembler(log, countingIds(), stillClock);
  assembler.begin(queuedResponse(), true);
  for (const event of events) assembler.push(event);
  return log;
}

function choose(
  log: Fold,
  provider: Pick<Provider, 'reattach' | 'continueFrom'>,
  { attempt = 2, cancelled = false, upstream = false, restart = false },
): string {
  const orphan = { attempt, cancelRequestedAt: cancelled ? 1 : null, ...(upstream && { upstream: PLACE }) };
  return choosePolicy(orphan, log, provider, { maxAttempts: 3, onCrash: restart ? 'restart' : 'fail' }).policy;
}

test('the first policy that fits is taken: cancel, 0, 1, 2, then restart or fail', () => {
  const all = { upstream: true, restart: true };
  assert.equal(choose(logOf(TEXT), ABLE, { ...all, cancelled: true, attempt: 9 }), 'cancel');
  assert.equal(choose(logOf(), ABLE, { restart: true }), 'rerun');
  assert.equal(choose(logOf(), ABLE, all), 'reattach', 'the upstream has a run of its own');
  assert.equal(choose(logOf(), {}, { upstream: true }), 'fail', 'and a second one is not begun in silence');
  assert.equal(choose(logOf(TEXT), ABLE, all), 'reattach');
  assert.equal(choose(logOf(TEXT), ABLE, { restart: true }), 'continue');
  assert.equal(choose(logOf(TEXT), {}, { restart: true }), 'restart');
  assert.equal(choose(logOf(TEXT), {}, {}), 'fail');
});

test('whatever the policy, attempts are bounded', () => {
  for (const log of [logOf(), logOf(TEXT)]) {
    for (const upstream of [true, false]) {
      assert.notEqual(choose(log, ABLE, { attempt: 3, upstream, restart: true }), 'fail');
      assert.equal(choose(log, ABLE, { attempt: 4, upstream, restart: true }), 'fail');
    }
  }
});

test('a text is gone on with only when it is all there is', () => {
  const thought: UpstreamEvent = { type: 'reasoning', delta: 'Hm', kind: 'text' };
  for (const more of [[thought, TEXT], [TEXT, CALL], [TEXT, { type: 'refusal', delta: 'No' } as const], [thought]]) {
    assert.equal(choose(logOf(...more), ABLE, {}), 'fail', JSON.stringify(more));
  }
});

test('a call that somebody may have made already is not asked for again', () => {
  assert.equal(choose(logOf(CALL), {}, { restart: true }), 'restart', 'it is still open');
  assert.equal(choose(logOf(CALL, TEXT), {}, { restart: true }), 'fail');
});

/** An upstream that says `first`, and then nothing until it is aborted. */
function stalling(first: readonly UpstreamEvent[]): Provider['run'] {
  return async function* (_turn, signal) {
    yield first;
    if (!signal.aborted) await once(signal, 'abort');
  };
}

function provider(more: Partial<Provider>): Provider {
  return {
    name: 'otter',
    unserved: () => [],
    check: () => {},
    run: () => assert.fail('it was run anew'),
    models: () => Promise.resolve([]),
    close: () => Promise.resolve(),
    ...more,
  };
}

type GoneOn = { text: string; items: number };

/** A response whose server stops after `Once upon`; then what a server with `second` makes of it. */
async function goOn(second: Provider, wrapStore?: (store: Store) => Store): Promise<GoneOn> {
  const data = await temporaryDirectory();
  const words: UpstreamEvent[] = [TEXT, { type: 'text', delta: ' upon' }];
  const first = await startHolt({ data, overrides: { providers: [provider({ run: stalling(words) })] } });
  const { id } = await first.client.responses.create({ model: 'otter', input: 'x', background: true, stream: false });
  while ((await first.client.responses.retrieve(id)).output_text !== 'Once upon');
  await first.stop();
  const providers = [second];
  await using holt = await startHolt({
    data,
    overrides: wrapStore === undefined ? { providers } : { providers, wrapStore },
  });
  for (;;) {
    const response = await holt.client.responses.retrieve(id);
    if (response.status === 'in_progress') continue;
    assert.equal(response.status, 'completed');
    return { text: response.output_text, items: response.output.length };
  }
}

test('policy 2: the provider goes on after the exact text, in the same item', async () => {
  const asked: string[] = [];
  const { text, items } = await goOn(
    provider({
      async *continueFrom(_turn, prefix) {
        asked.push(prefix);
        // A retry inside the attempt goes on after the same text, since nothing has come of the first.
        if (asked.length === 1) {
          yield [{ type: 'error', code: 'server_error', message: 'busy', retryable: true, row: 'upstream_failed' }];
          return;
        }
        yield [
          { type: 'text', delta: ' a time' },
          { type: 'finish', reason: 'stop' },
        ];
      },
    }),
  );
  assert.deepEqual(asked, ['Once upon', 'Once upon']);
  assert.equal(text, 'Once upon a time');
  assert.equal(items, 1);
});

test('policy 1: the provider attaches again where the log stopped', async () => {
  const places: UpstreamPlace[] = [];
  const { text, items } = await goOn(
    provider({
      continueFrom: () => assert.fail('attaching comes first'),
      async *reattach(_turn, place) {
        places.push(place);
        yield [
          { type: 'text', delta: ' a time' },
          { type: 'finish', reason: 'stop' },
        ];
      },
    }),
    (store) =>
      Object.assign(Object.create(store) as Store, {
        takeOver: async (...args: Parameters<Store['takeOver']>) => {
          const taken = await store.takeOver(...args);
          return taken && { ...taken, upstream: PLACE };
        },
        close: () => store.close(),
      }),
  );
  assert.deepEqual(places, [PLACE]);
  assert.equal(text, 'Once upon a time');
  assert.equal(items, 1);
});
