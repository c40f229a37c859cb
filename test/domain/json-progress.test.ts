import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Assembler } from '../../server/src/domain/assembler.ts';
import { Fold } from '../../server/src/domain/fold.ts';
import { JsonProgress } from '../../server/src/domain/json-progress.ts';
import { ToolCallKeys } from '../../server/src/providers/chat/tool-call-keys.ts';
import { countingIds, queuedResponse, stillClock } from '../support/arbitrary.ts';

/** Whether arguments are whole is known without parsing them again and again. */

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** JSON, JSON with something wrong in it, and what is not JSON at all. */
const texts = fc.oneof(
  fc.json(),
  fc.json().map((json) => ` \n${JSON.stringify(JSON.parse(json), null, 2)}\t `),
  fc.tuple(fc.json(), fc.string()).map(([json, more]) => json + more),
  fc.tuple(fc.json(), fc.nat(), fc.string()).map(([json, at, more]) => {
    const cut = at % (json.length + 1);
    return json.slice(0, cut) + more + json.slice(cut + 1);
  }),
  fc
    .array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ',', ':', '1', ' ', 'true', '"a"'))
    .map((all) => all.join('')),
);

test('a text is whole at the same pieces as when each beginning of it is parsed', () => {
  fc.assert(
    fc.property(texts, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (text, lengths) => {
      const progress = new JsonProgress();
      let seen = '';
      for (let step = 0; seen.length < text.length; step += 1) {
        const piece = text.slice(seen.length, seen.length + (lengths[step % lengths.length] ?? 1));
        progress.feed(piece);
        seen += piece;
        // A bare number or word of any length is no arguments: they are objects.
        if (seen.trim().length > 64 && !/^\s*["[{]/.test(seen)) return;
        const whole = progress.isWhole(() => seen);
        assert.equal(whole, parses(seen), JSON.stringify(seen));
        assert.ok(!whole || progress.mayBeWhole);
        assert.equal(whole && progress.isObject, whole && seen.trim().startsWith('{'));
      }
    }),
    { numRuns: 3_000 },
  );
});

test('however often it is asked, the text is asked for once', () => {
  for (const text of ['{"a":[1,2]}', '{"a":[1,2,]}']) {
    const progress = new JsonProgress();
    let asked = 0;
    const ask = (): boolean => progress.isWhole(() => (asked++, text));
    for (const char of text) {
      progress.feed(char);
      ask();
    }
    progress.feed(' ');
    assert.equal(ask(), parses(text));
    assert.equal(asked, 1);
  }
});

test('many calls beside a large one, whose name comes each time: each character is parsed once at most', (t) => {
  let parsed = 0;
  const { parse } = JSON;
  t.mock.method(JSON, 'parse', (...args: Parameters<typeof parse>): unknown => {
    parsed += args[0].length;
    return parse(...args);
  });
  const keys = new ToolCallKeys();
  const assembler = new Assembler(new Fold(), countingIds(), stillClock);
  assembler.begin(queuedResponse(), true);
  let written = 0;
  const push = (index: number, id: string | undefined, piece: string): void => {
    const call = { index, custom: false, id, name: 'write', arguments: piece };
    assembler.push({ type: 'tool_call', key: keys.keyOf(call), name: 'write', arguments: piece });
    written += piece.length;
  };
  push(0, 'call_0', '{"text":"');
  for (let index = 1; index <= 500; index += 1) {
    push(index, `call_${index}`, `{"at":${index}}`);
    push(0, undefined, '{}'.repeat(100));
  }
  push(0, undefined, '"}');
  assembler.push({ type: 'finish', reason: 'tool_calls' });
  assembler.finish();
  assert.equal(assembler.response.output.length, 501);
  // By the keys and by the assembler.
  assert.ok(parsed <= 2 * written, `${parsed} characters of ${written}`);
});
