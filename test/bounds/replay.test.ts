import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Store } from '../../server/src/domain/ports.ts';
import { ReplayedResponses } from '../../server/src/responses/replayed.ts';
import type { Response } from '../../server/src/protocol/response.ts';
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
  assert.ok(count.pages > 5, `${count.pages} pages`);
  assert.equal(count.rows, 2, 'the check before the first event, and the response');
});

test('a replayed response is held for a moment, and within a bound', async () => {
  const clock = new FakeClock();
  const replayed = new ReplayedResponses();
  let parsed: number[] = [];
  const get = (no: number, bytes: number | undefined): Promise<Response> =>
    replayed.get(clock, no, () => {
      parsed.push(no);
      return Promise.resolve({ response: { id: `resp_${no}` } as Response, bytes });
    });
  const assertParsed = async (expected: number[], asked: [no: number, bytes: number | undefined][]): Promise<void> => {
    parsed = [];
    for (const [no, bytes] of asked) assert.equal((await get(no, bytes)).id, `resp_${no}`);
    assert.deepEqual(parsed, expected);
  };
  await assertParsed(
    [1],
    [
      [1, MIB],
      [1, MIB],
    ],
  );
  clock.advance(1_000);
  await assertParsed([1], [[1, MIB]]);
  await assertParsed(
    [2, 3],
    [
      [2, 8 * MIB],
      [3, 8 * MIB],
    ],
  );
  await assertParsed(
    [1],
    [
      [3, 8 * MIB],
      [2, 8 * MIB],
      [1, MIB],
    ],
  );
  await assertParsed(
    [4],
    [
      [4, 32 * MIB],
      [4, 32 * MIB],
    ],
  );
  await assertParsed(
    [5, 5],
    [
      [5, undefined],
      [5, undefined],
    ],
  );
});
