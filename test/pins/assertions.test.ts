import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { ROOT } from '../support/holt.ts';

/** The 62 assertions of the wire contract are tests with their names, each in one place. */

test('each assertion of the contract is one test by its name', async () => {
  const places = new Map<number, string[]>();
  for await (const file of glob('test/**/*.test.ts', { cwd: ROOT })) {
    const text = await readFile(join(ROOT, file), 'utf8');
    for (const [, number] of text.matchAll(/\b(?:test|describe)\(\s*'A(\d+) /g)) {
      places.set(Number(number), [...(places.get(Number(number)) ?? []), file]);
    }
  }
  for (let number = 1; number <= 62; number += 1) {
    const found = places.get(number) ?? [];
    assert.equal(found.length, 1, `A${number} is in ${found.join(', ') || 'no file'}`);
    places.delete(number);
  }
  assert.deepEqual([...places], [], 'the contract has no such assertion');
});
