import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { JsonProgress } from '../../server/src/domain/json-progress.ts';

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
