import assert from 'node:assert/strict';
import test from 'node:test';
import { describeError } from '../server/src/logger.ts';

test('of an error a log has what this program wrote, and where it was', () => {
  const word = 'kingfisherkingfisher';
  let own: unknown;
  try {
    JSON.parse(word);
  } catch (error) {
    own = error;
  }
  assert.ok(own instanceof SyntaxError && own.message.includes(word), 'it quotes');
  class Quoting extends Error {
    readonly code = word;
  }
  const frames = new Quoting(`line one\n    at ${word} (file:1:1)\n${word}`, {
    cause: new Error(word, { cause: own }),
  });
  const renamed = new Error(word);
  renamed.message = 'another one';
  const errors = [
    own,
    frames,
    renamed,
    new AggregateError([new Error(word)], word),
    word,
    { message: word },
    undefined,
  ];
  for (const error of errors) {
    const described = describeError(error);
    assert.doesNotMatch(JSON.stringify(described), /kingfi/);
  }
  const described = describeError(frames) as { type: string; at: string[]; cause: { type: string } };
  assert.equal(described.type, 'Quoting');
  assert.equal(described.cause.type, 'Error');
  assert.ok(described.at.some((frame) => frame.includes('logger.test.ts')));
  const network = Object.assign(new Error(word), { code: 'ECONNREFUSED' });
  assert.equal((describeError(network) as { code: string }).code, 'ECONNREFUSED');
  const ring = new Error('ring');
  ring.cause = ring;
  assert.ok(JSON.stringify(describeError(ring)).length < 10_000);
});
