import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Recent } from '../../server/src/projects/recent.ts';
import { FakeClock } from '../support/clock.ts';

/** What is remembered of what the store said. */

/** Knows every name that is a word, and notes what it is asked for. */
function recentWords(max: number): { recent: Recent<string>; asked: string[] } {
  const asked: string[] = [];
  const load = (name: string): Promise<string | undefined> => {
    asked.push(name);
    return Promise.resolve(/^[a-z]+$/.test(name) ? name.toUpperCase() : undefined);
  };
  return { recent: new Recent({ load, clock: new FakeClock(), forMs: 1_000, max }), asked };
}

test('no more is remembered than it is told to, and made-up names push out none that are real', async () => {
  const { recent, asked } = recentWords(3);
  for (const name of ['a', 'b', 'c']) await recent.get(name);
  for (let n = 0; n < 100; n += 1) assert.equal(await recent.get(`no-${n}`), undefined);
  asked.length = 0;
  assert.deepEqual([recent.get('a'), recent.get('b'), recent.get('c')], ['A', 'B', 'C'], 'at once');
  assert.equal(recent.get('no-99'), undefined);
  assert.deepEqual(asked, []);
  await recent.get('no-0');
  await recent.get('d');
  await recent.get('a');
  assert.deepEqual(asked, ['no-0', 'd', 'a'], 'the oldest are asked for again');
});

test('many who ask at once ask the store once', async () => {
  const { recent, asked } = recentWords(3);
  assert.deepEqual(await Promise.all([recent.get('a'), recent.get('a'), recent.get('a')]), ['A', 'A', 'A']);
  assert.deepEqual(asked, ['a']);
});

test('an answer that was under way when something changed is forgotten', async () => {
  let say: (value: string) => void = () => undefined;
  const load = (): Promise<string> =>
    new Promise((resolve) => {
      say = resolve;
    });
  const recent = new Recent({ load, clock: new FakeClock(), forMs: 1_000, max: 3 });
  const before = recent.get('a');
  const sayBefore = say;
  recent.clear();
  const after = recent.get('a');
  say('new');
  sayBefore('old');
  assert.deepEqual([await before, await after, await recent.get('a')], ['old', 'new', 'new']);
});
