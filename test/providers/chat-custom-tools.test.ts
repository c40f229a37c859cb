import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { UpstreamEvent } from '../../server/src/domain/upstream-event.ts';
import { CallNames } from '../../server/src/providers/chat/name-calls.ts';
import { readToolCall } from '../../server/src/providers/chat/read-delta.ts';
import { ToolCallKeys } from '../../server/src/providers/chat/tool-call-keys.ts';
import { InputUnwrapper } from '../../server/src/providers/chat/unwrap-input.ts';
import { requestOf } from '../support/chat-run.ts';

/** The way back from a chat server's calls to the client's tools. */

function unwrap(pieces: readonly string[]): string {
  const unwrapper = new InputUnwrapper();
  return pieces.map((piece) => unwrapper.push(piece)).join('') + unwrapper.end();
}

/** Cuts `text` at the given places, in the middle of escapes and surrogate pairs too. */
function cut(text: string, places: readonly number[]): string[] {
  const cuts = [...new Set(places.map((place) => place % (text.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...cuts].map((start, index) => text.slice(start, cuts[index] ?? text.length));
}

const places = fc.array(fc.nat(), { maxLength: 12 });
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({
    unit: fc.constantFrom('"', '\\', 'u', 'd', '8', '3', '🦦', '\n', '\ud83d', '\udda6', '{', '}'),
    maxLength: 20,
  }),
);

test('what was wrapped comes out again, wherever it is cut', () => {
  fc.assert(
    fc.property(anyText, places, fc.boolean(), fc.constantFrom('', ' ', '\n  '), (text, at, escaped, space) => {
      const json = JSON.stringify(text);
      const spelled = escaped ? json.replaceAll(/[^ -~]/g, escapeUnit) : json;
      const wrapped = `${space}{${space}"input"${space}:${space}${spelled}${space}}`;
      assert.equal(unwrap(cut(wrapped, at)), text);
    }),
  );
});

function escapeUnit(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

test('the same text comes out of any two ways to cut the same arguments, whole or broken', () => {
  const args = fc.oneof(
    anyText,
    fc.json(),
    anyText.map((text) => `{"input":"${text}`),
    fc.tuple(anyText, fc.nat()).map(([text, end]) => {
      const json = JSON.stringify({ input: text });
      return json.slice(0, end % json.length);
    }),
    anyText.map((text) => JSON.stringify({ why: 1, input: text })),
  );
  fc.assert(
    fc.property(args, places, places, (text, one, other) => {
      assert.equal(unwrap(cut(text, one)), unwrap(cut(text, other)));
    }),
    { numRuns: 500 },
  );
});

const unwrapped: [title: string, args: string, input: string][] = [
  ['an object with more in it', '{"why":"so","input":"x\\n"}', 'x\n'],
  ['an escaped key', '{"\\u0069nput":"x"}', 'x'],
  ['plain text', 'SELECT "input" FROM {', 'SELECT "input" FROM {'],
  ['an object of another shape', '{"sql":"x"}', '{"sql":"x"}'],
  ['an input that is no text', '{"input":5}', '{"input":5}'],
  ['a JSON string', '"x"', '"x"'],
  ['nothing', '', ''],
  ['an escape that JSON does not have', '{"input":"\\d+\\u00zz"}', '\\d+\\u00zz'],
  ['an input that was cut off in an escape', '{"input":"ab\\u00', 'ab'],
];
for (const [title, args, input] of unwrapped) {
  test(`unwrapped: ${title}`, () => {
    assert.equal(unwrap([args]), input);
  });
}

test('the input streams as it comes', () => {
  const unwrapper = new InputUnwrapper();
  const pieces = ['{"in', 'put": "He', 'l\\', 'nlo \\ud83e', '\\udda', '6!', '"}'];
  assert.deepEqual(
    pieces.map((piece) => unwrapper.push(piece)),
    ['', 'He', 'l', '\nlo ', '', '🦦!', ''],
  );
});

// ---------------------------------------------------------------- names

const { tools } = requestOf({
  tools: [
    { type: 'custom', name: 'sql' },
    { type: 'function', name: 'look' },
    {
      type: 'namespace',
      name: 'crm',
      tools: [
        { type: 'function', name: 'find' },
        { type: 'custom', name: 'note' },
      ],
    },
  ],
});

function restore(...deltas: object[]): UpstreamEvent[] {
  const keys = new ToolCallKeys();
  const names = new CallNames(tools);
  const events = deltas.map((delta) => {
    const call = readToolCall(delta);
    return names.restore(keys.keyOf(call), call);
  });
  return [...events, ...names.end()];
}

test('a call of a custom tool is one, said by the server or found by its name', () => {
  const asCustom = restore(
    { index: 0, id: 'c', type: 'custom', custom: { name: 'sql', input: '' } },
    { index: 0, custom: { input: '{"input":"as it is"}' } },
  );
  assert.deepEqual(asCustom, [
    { type: 'tool_call', key: '0', kind: 'custom', callId: 'c', name: 'sql' },
    { type: 'tool_call', key: '0', kind: 'custom', arguments: '{"input":"as it is"}' },
  ]);
  const asFunction = restore(
    { index: 0, id: 'c', function: { name: 'sql', arguments: '{"inp' } },
    { index: 0, function: { arguments: 'ut":"SELECT' } },
    { index: 0, function: { arguments: ' 1"}' } },
  );
  assert.deepEqual(asFunction, [
    { type: 'tool_call', key: '0', kind: 'custom', callId: 'c', name: 'sql', received: 5 },
    { type: 'tool_call', key: '0', arguments: 'SELECT', received: 11 },
    { type: 'tool_call', key: '0', arguments: ' 1', received: 4 },
  ]);
});

test('what was held back comes at the end', () => {
  const events = restore({ index: 0, id: 'c', function: { name: 'sql', arguments: '{"why":1,"input":"x"}' } });
  assert.deepEqual(events.at(-1), { type: 'tool_call', key: '0', arguments: 'x', received: 0 });
});

test('arguments that come before the name are unwrapped when it is known', () => {
  const events = restore(
    { index: 0, id: 'c', function: { arguments: '{"input":"a' } },
    { index: 0, function: { name: 'sql', arguments: 'b"}' } },
  );
  assert.deepEqual(events, [
    { type: 'tool_call', key: '0', callId: 'c', received: 11 },
    { type: 'tool_call', key: '0', kind: 'custom', name: 'sql', arguments: 'ab', received: 3 },
  ]);
});

test('the namespace comes out of the name; a name that nobody offered stays as it is', () => {
  const calls = restore(
    { index: 0, id: 'a', function: { name: 'crm__find', arguments: '{}' } },
    { index: 1, id: 'b', function: { name: 'crm__note', arguments: '{"input":"x"}' } },
    { index: 2, id: 'c', function: { name: 'look', arguments: '{}' } },
    { index: 3, id: 'd', function: { name: 'made__up', arguments: '{}' } },
  );
  assert.deepEqual(calls, [
    { type: 'tool_call', key: '0', callId: 'a', namespace: 'crm', name: 'find', arguments: '{}' },
    {
      type: 'tool_call',
      key: '1',
      kind: 'custom',
      callId: 'b',
      namespace: 'crm',
      name: 'note',
      arguments: 'x',
      received: 13,
    },
    { type: 'tool_call', key: '2', callId: 'c', name: 'look', arguments: '{}' },
    { type: 'tool_call', key: '3', callId: 'd', name: 'made__up', arguments: '{}' },
  ]);
});
