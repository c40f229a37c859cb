import assert from 'node:assert/strict';
import test, { describe } from 'node:test';
import fc from 'fast-check';
import { Assembler } from '../../server/src/domain/assembler.ts';
import { decodeEvents, encodeEvents, mergeBodies } from '../../server/src/domain/chunk-codec.ts';
import { BrokenLog, Fold, fold } from '../../server/src/domain/fold.ts';
import { foldLog, foldReadable } from '../../server/src/domain/read-log.ts';
import { isEnded } from '../../server/src/domain/status.ts';
import type { UpstreamEvent } from '../../server/src/domain/upstream-event.ts';
import type { ResponseEvent } from '../../server/src/protocol/events.ts';
import { countingIds, endings, queuedResponse, stillClock, upstreamEvents } from '../support/arbitrary.ts';
import type { Ending } from '../support/arbitrary.ts';

/** Every property holds for the log of any run. */
const runs = fc.record({ events: upstreamEvents, ending: endings });

function runLog(events: readonly UpstreamEvent[], ending: Ending): { log: ResponseEvent[]; fold: Fold } {
  const folded = new Fold();
  const assembler = new Assembler(folded, countingIds(), stillClock);
  assembler.begin(queuedResponse(), true);
  for (const event of events) assembler.push(event);
  end(assembler, ending);
  return { log: assembler.take(), fold: folded };
}

function end(assembler: Assembler, ending: Ending): void {
  switch (ending) {
    case 'stop':
    case 'length':
    case 'content_filter':
      assembler.push({ type: 'finish', reason: ending });
      assembler.finish();
      return;
    case 'eof':
      assembler.finish();
      return;
    case 'error':
      assembler.fail('server_error', 'it broke');
      return;
    case 'cancel':
      assembler.cancel();
      return;
  }
}

test('numbers are dense from 0 and one terminal event is last', () => {
  fc.assert(
    fc.property(runs, ({ events, ending }) => {
      const { log } = runLog(events, ending);
      assert.deepEqual(
        log.map((event) => event.sequence_number),
        log.map((_, index) => index),
      );
      const terminal = log.filter((event) => /^response\.(completed|incomplete|failed)$/.test(event.type));
      assert.deepEqual(terminal, [log.at(-1)]);
    }),
  );
});

test('the deltas, the done text, the item and the final response say the same', () => {
  fc.assert(
    fc.property(runs, ({ events, ending }) => {
      const { log, fold: final } = runLog(events, ending);
      const texts = new Map<string, string>();
      for (const event of log) {
        if (event.type === 'response.output_text.delta') {
          const key = `${event.output_index}.${event.content_index}`;
          texts.set(key, (texts.get(key) ?? '') + event.delta);
        }
        if (
          event.type === 'response.function_call_arguments.delta' ||
          event.type === 'response.custom_tool_call_input.delta'
        ) {
          texts.set(`${event.output_index}`, (texts.get(`${event.output_index}`) ?? '') + event.delta);
        }
        if (event.type === 'response.output_text.done') {
          assert.equal(event.text, texts.get(`${event.output_index}.${event.content_index}`));
        }
        if (event.type === 'response.function_call_arguments.done') {
          assert.equal(event.arguments, texts.get(`${event.output_index}`) ?? '');
        }
        if (event.type === 'response.custom_tool_call_input.done') {
          assert.equal(event.input, texts.get(`${event.output_index}`) ?? '');
        }
        if (event.type === 'response.output_item.done') {
          assert.deepEqual(event.item, final.response.output[event.output_index]);
          if (event.item.type === 'message') {
            for (const [index, part] of event.item.content.entries()) {
              if (part.type === 'output_text') assert.equal(part.text, texts.get(`${event.output_index}.${index}`));
            }
          }
        }
      }
      const added = log.filter((event) => event.type === 'response.output_item.added').length;
      const done = log.filter((event) => event.type === 'response.output_item.done').length;
      assert.equal(added, done);
      assert.equal(added, final.response.output.length);
    }),
  );
});

test('fold(log) is the final response, and an unfinished cancel or failure keeps its items incomplete', () => {
  fc.assert(
    fc.property(runs, ({ events, ending }) => {
      const { log, fold: final } = runLog(events, ending);
      const again = fold(log);
      assert.deepEqual(again.response, final.response);
      assert.ok(isEnded(again.response.status));
      const last = log.at(-1);
      assert.ok(last !== undefined && 'response' in last);
      assert.deepEqual(last.response, again.response);
      if (again.response.status === 'completed') {
        assert.ok(again.response.output.every((item) => item.status === 'completed'));
      } else {
        assert.equal(again.response.completed_at, null);
      }
    }),
  );
});

test('chunks cut anywhere give back the same bytes, with the final response or a growing fold as dictionary', () => {
  fc.assert(
    fc.property(runs, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), ({ events, ending }, sizes) => {
      const { log, fold: final } = runLog(events, ending);
      const chunks = cut(log, sizes);
      const expected = log.map((event) => JSON.stringify(event));

      const growing = new Fold();
      const bodies = chunks.map((chunk) => {
        for (const event of chunk) growing.apply(event);
        return encodeEvents(chunk, growing.response);
      });

      const replay = new Fold();
      const fromFold: string[] = [];
      const fromFinal: string[] = [];
      for (const [index, body] of bodies.entries()) {
        const first = chunks[index]![0]!.sequence_number;
        for (const event of decodeEvents(body, first, () => replay.response)) {
          replay.apply(event);
          fromFold.push(JSON.stringify(event));
        }
        for (const event of decodeEvents(body, first, () => final.response)) fromFinal.push(JSON.stringify(event));
      }
      assert.deepEqual(fromFold, expected);
      assert.deepEqual(fromFinal, expected);
      assert.deepEqual(replay.response, final.response);

      const merged = decodeEvents(mergeBodies(bodies), 0, () => final.response);
      assert.deepEqual(
        [...merged].map((event) => JSON.stringify(event)),
        expected,
      );
    }),
  );
});

test('an assembler over the fold of any prefix ends the response without touching what was logged', () => {
  fc.assert(
    fc.property(runs, fc.nat(), fc.constantFrom('fail', 'cancel'), ({ events, ending }, at, how) => {
      const { log } = runLog(events, ending);
      const prefix = closedPrefix(log, 3 + (at % Math.max(1, log.length - 3)));
      if (fold(prefix).ended) return;
      const folded = fold(prefix);
      const successor = new Assembler(folded, countingIds(), stillClock);
      if (how === 'fail') successor.fail('server_error', 'the server stopped');
      else successor.cancel();
      const whole = [...prefix, ...successor.take()];
      assert.deepEqual(fold(whole).response, folded.response);
      assert.equal(folded.response.status, how === 'fail' ? 'failed' : 'cancelled');
      assert.equal(folded.open.size, 0);
    }),
  );
});

/** A chunk never ends between the closing events of one part or item: they are emitted together. */
function closedPrefix(log: readonly ResponseEvent[], length: number): ResponseEvent[] {
  let at = length;
  while (at < log.length && log[at]!.type.endsWith('.done')) at += 1;
  return log.slice(0, at);
}

function cut(log: readonly ResponseEvent[], sizes: readonly number[]): ResponseEvent[][] {
  const chunks: ResponseEvent[][] = [];
  for (let at = 0, turn = 0; at < log.length; turn += 1) {
    const size = sizes[turn % sizes.length]!;
    chunks.push(log.slice(at, at + size));
    at += size;
  }
  return chunks;
}

test('a long text costs a few bytes an event and a long list of done events next to nothing', () => {
  const events = Array.from({ length: 10_000 }, (): UpstreamEvent => ({ type: 'text', delta: ' otter' }));
  const { log, fold: final } = runLog(events, 'stop');
  const body = encodeEvents(log, final.response);
  assert.ok(body.length < 10_000 * 8 + 2_000, `${body.length} bytes`);
});

describe('a damaged log', () => {
  const { log, fold: final } = runLog([{ type: 'text', delta: 'otters hold hands' }], 'stop');
  const half = log.slice(0, 5);
  const body = encodeEvents(half, final.response);
  const sound = { firstSequence: 0, count: half.length, body };
  const empty = new Uint8Array(0);
  const damages: Record<string, (typeof sound)[]> = {
    'an empty chunk': [sound, { firstSequence: half.length, count: 2, body: empty }],
    'only an empty chunk': [{ ...sound, body: empty }],
    'more events than it says': [{ ...sound, count: half.length - 1 }],
    'fewer events than it says': [{ ...sound, count: half.length + 1 }],
    'a chunk that is missing': [sound, { firstSequence: half.length + 2, count: 1, body }],
    'chunks in another order': [{ ...sound, firstSequence: 3 }, sound],
  };
  for (const [name, chunks] of Object.entries(damages)) {
    test(`${name} ends the reading of a log that has no end`, async () => {
      // As a store does that looks for the first chunk with an event after the cursor.
      const read = (_no: number, after: number) => {
        const at = chunks.findIndex(({ firstSequence, count }) => firstSequence + count - 1 > after);
        return Promise.resolve({ chunks: at < 0 ? [] : chunks.slice(at, at + 1), closed: false });
      };
      await assert.rejects(foldLog({ read }, 1), BrokenLog);
      const { state, damage } = await foldReadable({ read }, 1);
      assert.ok(damage instanceof BrokenLog);
      assert.ok(state.nextSequence <= half.length);
    });
  }

  test('chunks that always begin before what was read are given up', async () => {
    const later = { firstSequence: 2, count: 1_000, body: encodeEvents(half.slice(2), final.response) };
    const read = (_no: number, after: number) =>
      Promise.resolve({ chunks: [after < 0 ? sound : later], closed: false });
    await assert.rejects(foldLog({ read }, 1), /out of order/);
  });

  test('what is said of it does not quote it', async () => {
    const secret = '{"type":"response.created","said":"otters';
    const raw = encodeEvents([JSON.parse(`${secret}"}`) as ResponseEvent], final.response);
    const torn = Buffer.from(raw);
    torn[torn.length - 1] = 0x7a;
    const read = () => Promise.resolve({ chunks: [{ firstSequence: 0, count: 1, body: torn }], closed: false });
    const { damage } = await foldReadable({ read }, 1);
    assert.match(damage?.message ?? '', /can't be decoded$/);
    assert.equal(damage?.cause, undefined);
  });
});

test('a log that is compacted between two pages is folded all the same', async () => {
  const { log, fold: final } = runLog(
    [
      { type: 'text', delta: 'otters ' },
      { type: 'text', delta: 'hold hands' },
    ],
    'stop',
  );
  const halfway = new Fold();
  const first = log.slice(0, 5);
  for (const event of first) halfway.apply(event);
  const chunk = { firstSequence: 0, count: first.length, body: encodeEvents(first, halfway.response) };
  const whole = { firstSequence: 0, count: log.length, body: encodeEvents(log, final.response) };
  let reads = 0;
  const read = () => {
    reads += 1;
    return Promise.resolve(reads === 1 ? { chunks: [chunk], closed: false } : { chunks: [whole], closed: true });
  };
  const folded = await foldLog({ read }, 1);
  assert.deepEqual(folded.response, final.response);
  assert.ok(folded.ended);
});
