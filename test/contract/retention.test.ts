import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { TextFinder } from '../support/find-text.ts';
import { startHolt } from '../support/holt.ts';
import type { InProcess, TestHolt } from '../support/holt.ts';
import { REQUEST, SAID, answering } from '../support/secret-request.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Upstream } from '../support/upstream.ts';
import { Receiver } from '../support/webhook-receiver.ts';
import { MovedClock } from './moved-clock.ts';
import { LOCAL, subscribe } from './webhook-endpoint.ts';
import {
  EventReader,
  assertError,
  call,
  cancel,
  create,
  get,
  jsonRequest,
  poll,
  pollUntil,
  post,
  remove,
  responseIn,
  streamUrl,
  textOf,
} from './wire.ts';

/** What is forgotten, and when: zero data retention over HTTP and on the disk (design.md §9, promise 6). */

const ZDR_MS = 600_000;
const finder = new TextFinder(SAID);

let upstream: Upstream;
before(async () => {
  upstream = await startUpstream();
});
after(() => upstream.stop());

/** What a server logs, as lines of JSON with its errors. */
class Lines {
  text = '';
  readonly log = {
    debug: this.#line.bind(this),
    info: this.#line.bind(this),
    warn: this.#line.bind(this),
    error: this.#line.bind(this),
  };

  #line(fields: object, message: string): void {
    const spelled = Object.values(fields).map((value: unknown) =>
      value instanceof Error ? `${value.stack} ${JSON.stringify(Object.entries(value))}` : JSON.stringify(value),
    );
    this.text += `${message} ${spelled.join(' ')}\n`;
  }
}

type Zdr = { holt: TestHolt; clock: MovedClock; lines: Lines } & AsyncDisposable;

async function startZdr(options: Pick<InProcess, 'configure' | 'data' | 'flags'> = {}): Promise<Zdr> {
  const clock = new MovedClock();
  const lines = new Lines();
  const flags = ['--upstream', upstream.url, '--retention', 'zero_data_retention', ...(options.flags ?? [])];
  const holt = await startHolt({ ...options, flags, overrides: { clock, log: lines.log } });
  return { holt, clock, lines, [Symbol.asyncDispose]: () => holt.stop() };
}

/** Housekeeping comes by every second: waits for what it has to do. */
async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries += 1) {
    assert.ok(tries < 1_000, what);
    await sleep(20);
  }
}

const keyFiles = (data: string): string[] => readdirSync(join(data, 'zdr-keys')).map((f) => join(data, 'zdr-keys', f));

async function backUp({ url, data }: TestHolt, to: string): Promise<void> {
  const key = readFileSync(join(data, 'admin.key'), 'utf8');
  const made = await call('POST', `${url}/admin/v1/backup`, jsonRequest({ to }, { authorization: `Bearer ${key}` }));
  assert.equal(made.status, 200, made.text);
}

const usedSlots = (file: string): number => {
  const bytes = readFileSync(file);
  let zero = 0;
  for (let at = 0; at < bytes.length; at += 32) if (bytes.subarray(at, at + 32).every((byte) => byte === 0)) zero += 1;
  return zero;
};

describe('looking for text', () => {
  test('finds what was planted, in every encoding and at every alignment', () => {
    const directory = mkdtempSync(join(tmpdir(), 'holt-find-'));
    const text = SAID.prompt;
    const piece = text.slice(20, 50);
    for (const [name, bytes] of Object.entries({
      utf8: Buffer.from(`x${piece}y`),
      utf16: Buffer.from(`x${piece}y`, 'utf16le'),
      utf16be: Buffer.from(`x${piece}y`, 'utf16le').swap16(),
      ...Object.fromEntries(
        ['', 'a', 'ab'].map((pad) => [`base64${pad}`, Buffer.from(Buffer.from(pad + piece).toString('base64'))]),
      ),
      url: Buffer.from(Buffer.from(`ab${piece}`).toString('base64url')),
      nothing: Buffer.from('Patient Quartermaine and seventeen other marbles'.repeat(3).slice(0, 11)),
    })) {
      writeFileSync(join(directory, name), bytes);
    }
    const found = new TextFinder({ prompt: text }).inDirectory(directory).map(({ where }) => basename(where));
    assert.deepEqual(
      [...new Set(found)].toSorted((a, b) => a.localeCompare(b)),
      ['base64', 'base64a', 'base64ab', 'url', 'utf16', 'utf16be', 'utf8'],
    );
    rmSync(directory, { recursive: true });
  });

  test('finds everything that was said to a server in standard mode', async () => {
    await upstream.script('standard', answering());
    await using holt = await startHolt({ flags: ['--upstream', upstream.url] });
    const { id } = await create(holt, { model: 'standard', ...REQUEST, background: true });
    await pollUntil(holt, id);
    const found = new Set(finder.inDirectory(holt.data).map(({ text }) => text));
    const expected = Object.keys(SAID).filter((name) => name !== 'upstreamError');
    assert.deepEqual([...found].toSorted(), expected.toSorted());
  });
});

describe('zero data retention', { concurrency: 1 }, () => {
  test('a background response is accepted, echoes store: false, is polled, streamed and resumed', async () => {
    await upstream.script('zdr', answering('zdr-middle'));
    await using zdr = await startZdr();
    const { holt, lines } = zdr;
    const reader = await EventReader.create(holt, { model: 'zdr', ...REQUEST, background: true, store: true });
    const created = (await reader.next())?.data['response'] as { id: string; store: boolean; status: string };
    assert.deepEqual([created.store, created.status], [false, 'queued']);
    await upstream.waitForGate('zdr-middle');
    const half = await pollUntil(holt, created.id, (response) => textOf(response) !== '');
    assert.equal((half as { store?: boolean }).store, false);
    assert.deepEqual(finder.inDirectory(holt.data), [], 'while it runs');
    await upstream.release('zdr-middle');
    let frame = await reader.next();
    const live = [];
    for (; frame !== undefined; frame = await reader.next()) live.push(frame.text);

    const ended = await pollUntil(holt, created.id);
    assert.equal(textOf(ended), SAID.output);
    assert.equal(ended.instructions, SAID.instructions);
    const resumed = await EventReader.open(streamUrl(holt, created.id, '&starting_after=0'));
    const replayed = [];
    for (frame = await resumed.next(); frame !== undefined; frame = await resumed.next()) replayed.push(frame.text);
    assert.deepEqual(replayed, live);
    const items = JSON.parse((await get(holt, `responses/${created.id}/input_items?order=asc`)).text) as {
      data: { id: string }[];
    };
    assert.equal(items.data[0]?.id, SAID.clientItemId);
    const after = await get(holt, `responses/${created.id}/input_items?order=asc&after=${SAID.clientItemId}`);
    assert.equal((JSON.parse(after.text) as { data: unknown[] }).data.length, 2);

    assert.deepEqual(finder.inDirectory(holt.data), [], 'after its end');
    assert.deepEqual(finder.inBytes(Buffer.from(lines.text), 'log'), []);
    const [file = ''] = keyFiles(holt.data);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(join(holt.data, 'zdr-keys')).mode & 0o777, 0o700);
    assert.equal(statSync(file).size, 4_096 * 32);
  });

  test('after its window every verb is a 404, and the sweep destroys its key', async () => {
    await upstream.script('zdr-gone', answering());
    await using zdr = await startZdr();
    const { holt, clock } = zdr;
    const body = { model: 'zdr-gone', ...REQUEST, background: true, stream: true };
    const reader = await EventReader.create(holt, body);
    let frame = await reader.next();
    assert.ok(frame !== undefined);
    const { id } = frame.data['response'] as { id: string };
    while (frame !== undefined) frame = await reader.next();
    clock.later = ZDR_MS - 60_000;
    await poll(holt, id);
    const [file = ''] = keyFiles(holt.data);
    const before = readFileSync(file);
    const used = usedSlots(file);
    assert.equal(used, 0);

    clock.later = ZDR_MS + 1_000;
    for (const answer of [
      await get(holt, `responses/${id}`),
      await get(holt, `responses/${id}?stream=true`),
      await get(holt, `responses/${id}?stream=true&starting_after=3`),
      await get(holt, `responses/${id}?wait=5`),
      await get(holt, `responses/${id}/input_items`),
      await cancel(holt, id),
      await remove(holt, id),
    ]) {
      assertError(answer, 404);
    }
    await eventually('the key is destroyed', () => usedSlots(file) === 1);
    const now = readFileSync(file);
    const slot = [...Array(4_096).keys()].find((place) =>
      now.subarray(place * 32, place * 32 + 32).every((b) => b === 0),
    );
    const key = before.subarray((slot ?? 0) * 32, (slot ?? 0) * 32 + 32);
    const everything = readdirSync(holt.data, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
    assert.ok(
      everything.every((bytes) => !bytes.includes(key)),
      'the key is nowhere any more',
    );
    assert.deepEqual(finder.inDirectory(holt.data), []);
  });

  test('neither backups nor webhooks hold anything of it', async () => {
    await upstream.script('zdr-copied', answering('zdr-copied-middle'));
    await using receiver = await Receiver.start();
    await using zdr = await startZdr(LOCAL);
    const { holt, clock } = zdr;
    await subscribe(holt, receiver.url());
    const { id } = await create(holt, { model: 'zdr-copied', ...REQUEST, background: true });
    await pollUntil(holt, id, (response) => textOf(response) !== '');
    const places = mkdtempSync(join(tmpdir(), 'holt-zdr-backups-'));
    await backUp(holt, join(places, 'while it runs'));
    await upstream.release('zdr-copied-middle');
    await pollUntil(holt, id);
    const [hit] = await receiver.count(1);
    await backUp(holt, join(places, 'after its end'));
    clock.later = ZDR_MS + 1_000;
    const [file = ''] = keyFiles(holt.data);
    await eventually('the key is destroyed', () => usedSlots(file) === 1);
    await backUp(holt, join(places, 'after its window'));

    assert.equal(readdirSync(places).length, 3);
    assert.deepEqual(finder.inDirectory(places), []);
    assert.ok(hit !== undefined && hit.body.includes(id));
    assert.deepEqual(finder.inBytes(Buffer.from(hit.body), 'webhook'), []);
    rmSync(places, { recursive: true });
  });

  test('a DELETE destroys the key before it answers', async () => {
    await upstream.script('zdr-delete', answering('never'));
    await using zdr = await startZdr();
    const { holt } = zdr;
    const { id } = await create(holt, { model: 'zdr-delete', ...REQUEST, background: true });
    const [file = ''] = keyFiles(holt.data);
    assert.equal(usedSlots(file), 0);
    assert.equal((await remove(holt, id)).status, 200);
    assert.equal(usedSlots(file), 1);
    assertError(await get(holt, `responses/${id}`), 404);
  });

  test('it is cancelled like any other, and what was cancelled is gone as soon', async () => {
    await upstream.script('zdr-cancel', answering('never'));
    await using zdr = await startZdr();
    const { holt, clock } = zdr;
    const { id } = await create(holt, { model: 'zdr-cancel', ...REQUEST, background: true, store: false });
    await pollUntil(holt, id, (response) => textOf(response) !== '');
    const cancelled = responseIn(await cancel(holt, id));
    assert.equal(cancelled.status, 'cancelled');
    assert.deepEqual(finder.inDirectory(holt.data), []);
    clock.later = ZDR_MS + 1_000;
    assertError(await get(holt, `responses/${id}`), 404);
  });

  test('a foreground response leaves nothing, not even a row', async () => {
    await upstream.script('zdr-foreground', answering());
    await using zdr = await startZdr();
    const response = await create(zdr.holt, { model: 'zdr-foreground', ...REQUEST, store: true });
    assert.equal((response as { store?: boolean }).store, false);
    assertError(await get(zdr.holt, `responses/${response.id}`), 404);
    assert.deepEqual(finder.inDirectory(zdr.holt.data), []);
    assert.throws(() => keyFiles(zdr.holt.data), /ENOENT/);
  });

  test('nothing builds on it: no chain, no reference, no conversation', async () => {
    await upstream.script('zdr-state', answering());
    await using zdr = await startZdr();
    const { holt } = zdr;
    const { id } = await create(holt, { model: 'zdr-state', ...REQUEST, background: true });
    const { output } = await pollUntil(holt, id);
    const ask = (more: object): ReturnType<typeof post> => post(holt, { model: 'zdr-state', input: 'and?', ...more });
    assertError(await ask({ previous_response_id: id }), 400, { code: 'previous_response_not_found' });
    for (const item of [SAID.clientItemId, output[0]?.id]) {
      assertError(await ask({ input: [{ type: 'item_reference', id: item }] }), 404);
    }
    assertError(await ask({ conversation: 'conv_1' }), 400, { param: 'conversation' });
    assertError(await post(holt, { items: REQUEST.input }, {}, 'conversations'), 400, {
      code: 'unsupported_parameter',
    });
    assertError(await post(holt, { metadata: {} }, {}, 'conversations/conv_1'), 400);
    assertError(await post(holt, { items: REQUEST.input }, {}, 'conversations/conv_1/items'), 400);
    assertError(await call('GET', `${holt.url}/v1/conversations/conv_1`), 404);
    assert.deepEqual(finder.inDirectory(holt.data), []);
  });

  test('keys outlive their server; the next one begins a file of its own and removes those without use', async () => {
    await upstream.script('zdr-restart', answering());
    const data = mkdtempSync(join(tmpdir(), 'holt-zdr-'));
    const ask = { model: 'zdr-restart', ...REQUEST, background: true };
    let expired = '';
    {
      await using zdr = await startZdr({ data });
      expired = (await pollUntil(zdr.holt, (await create(zdr.holt, ask)).id)).id;
    }
    const [first] = keyFiles(data);
    {
      await using zdr = await startZdr({ data });
      assert.equal(textOf(await poll(zdr.holt, expired)), SAID.output);
      await pollUntil(zdr.holt, (await create(zdr.holt, ask)).id);
      assert.equal(keyFiles(data).length, 2);
      zdr.clock.later = ZDR_MS + 1_000;
      await eventually('the older file is gone', () => !keyFiles(data).includes(first ?? ''));
      assertError(await get(zdr.holt, `responses/${expired}`), 404);
    }
    {
      await using zdr = await startZdr({ data, flags: ['--retention', 'standard'] });
      assert.deepEqual(keyFiles(data), [], 'what no response needs any more is removed at the start');
      assert.deepEqual(finder.inDirectory(data), []);
      assert.equal((await get(zdr.holt, `responses/${expired}`)).status, 404);
    }
    rmSync(data, { recursive: true });
  });
});
