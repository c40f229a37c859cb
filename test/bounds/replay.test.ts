import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Store } from '../../server/src/domain/ports.ts';
import { Held } from '../../server/src/responses/held.ts';
import { idIn, jsonRequest, otter, streamUrl } from '../contract/wire.ts';
import { FakeClock } from '../support/clock.ts';
import { startHolt } from '../support/holt.ts';
import { streamFrames } from '../support/sse.ts';

/** A replay reads its response once, not once for each page of its log. */

const MIB = 1024 * 1024;

/** Counts how often a row, which comes with its snapshot, is asked for, and a page. */
function counting(store: Store, count: { rows: number; pages: number }): Store {
  return {
    ...store,
    accepts: () => store.accepts(),
    close: () => store.close(),
    find: (...args) => {
      count.rows += 1;
      return store.find(...args);
    },
    read: (...args) => {
      count.pages += 1;
      return store.read(...args);
    },
  };
}

test('a long replay reads its response once', async () => {
  const count = { rows: 0, pages: 0 };
  await using holt = await startHolt({ overrides: { clock: new FakeClock(), wrapStore: (s) => counting(s, count) } });
  const body = otter({ tokens: 60_000 }, { background: true, stream: true });
  const live = await streamFrames(`${holt.url}/v1/responses`, jsonRequest(body));
  Object.assign(count, { rows: 0, pages: 0 });
  const replay = await streamFrames(streamUrl(holt, idIn(live[0])));
  assert.ok(replay.every(({ text }, index) => text === live[index]?.text) && replay.length === live.length);
  assert.ok(count.pages > 1, `${count.pages} pages`);
  assert.equal(count.rows, 2, 'the check before the first event, and the response');
});

test('a replay whose log is lost on the way is cut, and does not look like one that has ended', async () => {
  let pages = 0;
  const losing = (store: Store): Store => ({
    ...store,
    accepts: () => store.accepts(),
    close: () => store.close(),
    read: async (...args) => {
      pages += 1;
      return pages < 3 ? store.read(...args) : { chunks: [], closed: true };
    },
  });
  await using holt = await startHolt({ overrides: { wrapStore: losing } });
  const body = otter({ tokens: 20_000 }, { background: true, stream: true });
  pages = -Infinity;
  const live = await streamFrames(`${holt.url}/v1/responses`, jsonRequest(body));
  pages = 0;
  const replay = await fetch(streamUrl(holt, idIn(live[0])));
  await assert.rejects(replay.text(), /terminated/);
  assert.equal(pages, 3);
});

test('what is held is held for a moment, and within a bound', () => {
  const clock = new FakeClock();
  const held = new Held<string, number>();
  held.put(clock, 'a', 1, MIB);
  clock.advance(999);
  assert.equal(held.get('a'), 1);
  clock.advance(1);
  assert.equal(held.get('a'), undefined);

  held.put(clock, 'a', 1, 8 * MIB);
  held.put(clock, 'b', 2, 8 * MIB);
  held.put(clock, 'a', 3, 7 * MIB);
  assert.deepEqual([held.get('a'), held.get('b')], [3, 2]);
  held.put(clock, 'c', 4, 2 * MIB);
  assert.deepEqual([held.get('a'), held.get('b'), held.get('c')], [3, undefined, 4], 'the oldest has gone');
  held.put(clock, 'd', 5, 32 * MIB);
  assert.deepEqual([held.get('a'), held.get('c'), held.get('d')], [undefined, undefined, 5], 'a large one is alone');
  clock.advance(1_000);
  assert.equal(held.get('d'), undefined);
  assert.deepEqual(clock.timers, []);
});
