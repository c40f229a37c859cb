import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import type { Store } from '../../../server/src/domain/ports.ts';
import { spawnHolt, startHolt, temporaryDirectory } from '../../support/holt.ts';
import type { TestHolt } from '../../support/holt.ts';
import {
  SILENT,
  assertError,
  cancel,
  create,
  get,
  hasEnded,
  otter,
  poll,
  pollUntil,
  post,
  remove,
  responseIn,
} from '../wire.ts';

/** The contract's assertions about `GET /v1/responses/{id}`; A15 to A17 and A19 to A21 are in poll.test.ts. */

let holt: TestHolt;
before(async () => {
  holt = await startHolt();
});
after(() => holt.stop());

test('A18 only a completed response has a time of completion', async () => {
  await using small = await startHolt({ configure: (config) => (config.worker.concurrency = 1) });
  const seen = new Set<string>();
  const check = (response: { status?: string; completed_at?: number | null }): void => {
    assert.ok(response.completed_at === null, `${response.status}: ${response.completed_at}`);
    seen.add(response.status ?? '');
  };
  const running = await create(small, otter(SILENT, { background: true }));
  check(await pollUntil(small, running.id, ({ status }) => status === 'in_progress'));
  check(await create(small, otter(SILENT, { background: true })));
  check(responseIn(await cancel(small, running.id)));
  check(await poll(small, running.id));
  for (const body of [otter({ fail_after: 2 }), otter({ tokens: 40 }, { max_output_tokens: 16 })]) {
    const { id } = await create(holt, { ...body, background: true });
    check(await pollUntil(holt, id));
  }
  assert.deepEqual([...seen].toSorted(), ['cancelled', 'failed', 'in_progress', 'incomplete', 'queued']);
  assert.equal(typeof (await create(holt, otter())).completed_at, 'number');
});

// One after the other: a data directory belongs to one process at a time.
test('A22 what one process has stored another one serves, also when the first was killed', async () => {
  const data = await temporaryDirectory();
  const bodies = [otter({}, { background: true }), otter(), otter({ fail_after: 3 }, { background: true })];
  const texts = new Map<string, string>();
  {
    await using first = await spawnHolt({ data });
    for (const body of bodies) {
      const { id } = await create(first, body);
      await pollUntil(first, id);
      texts.set(id, (await get(first, `responses/${id}`)).text);
    }
    await first.kill();
  }
  {
    await using second = await spawnHolt({ data });
    for (const [id, text] of texts) assert.equal((await get(second, `responses/${id}`)).text, text);
  }
  await using third = await spawnHolt({ data });
  for (const [id, text] of texts) assert.equal((await get(third, `responses/${id}`)).text, text);
  await third.stop();
  await rm(data, { recursive: true });
});

test('A23 a foreground response is found after its end, unless it was not to be stored', async () => {
  for (const store of [true, undefined, null]) {
    const made = await create(holt, otter({}, { store }));
    assert.match(JSON.stringify(made), /"store":true/);
    assert.deepEqual(await poll(holt, made.id), made);
  }
  const forgotten = await create(holt, otter({}, { store: false }));
  assert.match(JSON.stringify(forgotten), /"store":false/);
  assert.ok(hasEnded(forgotten));
  assertError(await get(holt, `responses/${forgotten.id}`), 404);
});

/** Puts what is created while `stranger()` says so into a project that no key of this server belongs to. */
function strangersRows(stranger: () => boolean): (store: Store) => Store {
  return (store) =>
    new Proxy(store, {
      get: (target, key) => {
        const verb: unknown = Reflect.get(target, key);
        if (key === 'create') {
          return (response: Parameters<Store['create']>[0], queueMax: number) =>
            target.create(stranger() ? { ...response, projectId: 'proj_of_a_stranger' } : response, queueMax);
        }
        if (key === 'createEnded') {
          return (response: Parameters<Store['createEnded']>[0], end: Parameters<Store['createEnded']>[1]) =>
            target.createEnded(stranger() ? { ...response, projectId: 'proj_of_a_stranger' } : response, end);
        }
        return typeof verb === 'function' ? verb.bind(target) : verb;
      },
    });
}

test('A24 a response of another project is a 404 for every verb', async () => {
  let stranger = false;
  await using shared = await startHolt({
    configure: (config) => (config.worker.concurrency = 1),
    overrides: { wrapStore: strangersRows(() => stranger) },
  });
  // Ended ones and a queued one: what runs is known to the process that runs it, and here that is one process for all.
  const make = async (): Promise<string[]> => {
    const streamed = await post(shared, otter({}, { background: true, stream: true }));
    return [(await create(shared, otter())).id, /"id":"(resp_[^"]+)"/.exec(streamed.text)?.[1] ?? ''];
  };
  const own = await make();
  stranger = true;
  const others = await make();
  stranger = false;
  own.push((await create(shared, otter(SILENT, { background: true }))).id);
  stranger = true;
  others.push((await create(shared, otter({}, { background: true }))).id);
  stranger = false;

  for (const id of own) assert.equal((await get(shared, `responses/${id}`)).status, 200);
  for (const id of others) {
    const message = `Response with id '${id}' not found.`;
    for (const answer of [
      await get(shared, `responses/${id}`),
      await get(shared, `responses/${id}?stream=true`),
      await get(shared, `responses/${id}?stream=true&starting_after=1`),
      await get(shared, `responses/${id}/input_items`),
      await cancel(shared, id),
      await remove(shared, id),
    ]) {
      assertError(answer, 404, { type: 'invalid_request_error', code: null, param: null, message });
    }
  }
});
