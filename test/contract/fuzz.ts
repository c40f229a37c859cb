import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { FuzzClient } from '../support/fuzz/send.ts';
import type { FuzzAnswer } from '../support/fuzz/send.ts';
import { Requests } from '../support/fuzz/requests.ts';
import type { FuzzRequest } from '../support/fuzz/requests.ts';
import { MODELS } from '../support/fuzz/values.ts';
import { Pool } from '../support/fuzz/pool.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import { fetchDocument, makeJudge } from '../support/openapi.ts';
import type { Judge } from '../support/openapi.ts';
import { parseFrames } from '../support/sse.ts';
import { DEFAULT_SCRIPT } from '../support/upstream-script.ts';
import { startUpstream } from '../support/upstream.ts';

/**
 * Requests made of /openapi.json, many at a time, against a process of its own. `HOLT_FUZZ_SEED` repeats a run: the same
 * requests, though the ids in them are those of the run.
 */

const AT_ONCE = 8;
/** Codes that complain about one field. */
const NAMES_A_FIELD =
  /^(missing_required|unknown|unsupported)_parameter$|^invalid_(type|value)$|^unsupported_value$|_(min|max)_/;

/** Codes of what a schema refuses. */
const OF_SCHEMAS = /^invalid_type$|_(below_min|above_max)_/;

export async function fuzz(t: TestContext, count: number, defaultSeed: number): Promise<void> {
  const seed = Number(process.env['HOLT_FUZZ_SEED'] ?? defaultSeed);
  t.diagnostic(`HOLT_FUZZ_SEED=${seed}`);
  await using upstream = await startUpstream();
  for (const model of MODELS.slice(0, 2)) await upstream.script(model, DEFAULT_SCRIPT);
  const directory = await temporaryDirectory();
  const config = join(directory, 'holt.yaml');
  await writeFile(config, 'webhooks: { allow_http: true, allow_private: true }');
  await using holt = await spawnHolt({ flags: ['--upstream', upstream.url, '--config', config] });
  const document = await fetchDocument(holt);
  const pool = new Pool();
  const requests = new Requests(document, seed, pool, upstream.url);
  const judge = makeJudge(document);
  const tally = new Tally();
  using client = new FuzzClient(holt.url, AT_ONCE);

  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      const n = next;
      next += 1;
      const request = requests.make(n);
      const answer = await client.send(request).catch((error: unknown) => {
        throw new Error(`no answer to ${tell(request, n)}`, { cause: error });
      });
      tally.add(request, answer.status);
      try {
        if (answer.end === 'cut') await checkCut(holt, request, answer);
        const body = check(request, answer, judge);
        if (answer.status === 200) pool.collect(request.target, body, n);
      } catch (error) {
        const shown = answer.body.toString().slice(0, 1_000);
        throw new Error(`${tell(request, n)}\n-> ${answer.status} ${shown}`, { cause: error });
      }
      await nextTurn();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));

  t.diagnostic(`${count} requests, answered ${tally.toString()}`);
  assertAlive(holt);
  assert.equal((await holt.client.responses.create({ model: 'any', input: 'Hello' })).status, 'completed');
  tally.assertFair(count);
  await rm(directory, { recursive: true });
}

/** What it needs is gone with the next response that is deleted. */
const FLEETING = 'redeliverWebhook';

/** What was answered: a generator that makes nothing but errors proves little. */
class Tally {
  readonly #statuses = new Map<number, number>();
  /** Of every operation: requests without a fault, and how many of them were accepted. */
  readonly #operations = new Map<string, { asked: number; accepted: number }>();

  add({ described, intact }: FuzzRequest, status: number): void {
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1);
    if (described === undefined || !intact) return;
    const { operationId } = described.operation;
    const { asked, accepted } = this.#operations.get(operationId) ?? { asked: 0, accepted: 0 };
    this.#operations.set(operationId, { asked: asked + 1, accepted: accepted + (status === 200 ? 1 : 0) });
  }

  toString(): string {
    const statuses = [...this.#statuses].toSorted(([a], [b]) => a - b);
    return statuses.map(([status, times]) => `${status}: ${times}`).join(', ');
  }

  assertFair(count: number): void {
    assert.ok((this.#statuses.get(200) ?? 0) > count / 3, 'a fair part was accepted');
    assert.ok((this.#statuses.get(400) ?? 0) > count / 10, 'a fair part was refused');
    for (const [operationId, { asked, accepted }] of this.#operations) {
      const fair = operationId === FLEETING ? Math.min(1, Math.floor(asked / 100)) : Math.floor(asked / 20);
      assert.ok(accepted >= fair, `${operationId}: ${accepted} of ${asked} were accepted`);
    }
  }
}

function assertAlive(holt: HoltProcess): void {
  assert.equal(holt.process.exitCode, null);
  assert.equal(holt.process.signalCode, null);
  assert.equal(holt.errors(), '');
  // What it says when it serves; everything else at this level is an error.
  const lines = holt
    .output()
    .split('\n')
    .filter((line) => line.startsWith('{'));
  assert.deepEqual(lines, []);
}

function tell({ method, target, headers, body }: FuzzRequest, n: number): string {
  return `request ${n}: ${method} ${target.slice(0, 500)} ${JSON.stringify(headers)} ${body?.toString().slice(0, 2_000) ?? ''}`;
}

/** What holds for every answer. Returns its JSON, or that of its last event. */
function check(request: FuzzRequest, answer: FuzzAnswer, judge: Judge): unknown {
  const { status, contentType, body } = answer;
  assert.ok(status >= 200 && status < 500, 'no failure of the server');
  assert.match(answer.requestId, /^req_/);
  if (answer.end !== 'whole' || request.method === 'HEAD' || answer.status === 204) return undefined;
  const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  if (contentType.startsWith('text/event-stream')) return checkStream(request, text, judge);
  if (contentType.startsWith('text/plain')) {
    assert.equal(request.described && judge.answer(request.described, status, contentType, text), undefined);
    return undefined;
  }
  assert.match(contentType, /^application\/json/);
  const json: unknown = JSON.parse(text);
  if (status >= 400) checkEnvelope(request, json);
  if (request.described === undefined) return json;
  if (status === 200) assert.equal(judge.request(request.described, bodyOf(request)), undefined, 'was accepted');
  assert.equal(judge.answer(request.described, status, contentType, json), undefined);
  return json;
}

/** Only the stream of a response that somebody deletes ends without an end. */
async function checkCut(holt: HoltProcess, request: FuzzRequest, answer: FuzzAnswer): Promise<void> {
  assert.match(answer.contentType, /^text\/event-stream/);
  assert.equal(request.method, 'GET');
  const { status } = await fetch(`${holt.url}${request.target.replace(/\?.*/, '')}`);
  assert.equal(status, 404, 'a stream was cut, and its response is still there');
}

/** As the server reads it: what is nothing is an empty object, and a key `__proto__` is overlooked everywhere. */
function bodyOf({ body }: FuzzRequest): unknown {
  const text = body?.toString() ?? '';
  return text.trim() === '' ? {} : JSON.parse(text, (key, value: unknown) => (key === '__proto__' ? undefined : value));
}

function checkEnvelope(request: FuzzRequest, json: unknown): void {
  const { error } = json as { error: Record<string, unknown> };
  assert.deepEqual(Object.keys(error).toSorted(), ['code', 'message', 'param', 'type']);
  assert.notEqual(error['message'], '');
  if (typeof error['code'] === 'string' && NAMES_A_FIELD.test(error['code'])) {
    assert.equal(typeof error['param'], 'string', 'the field at fault is named');
  }
  if (request.intact) assert.doesNotMatch(String(error['code']), OF_SCHEMAS, 'the document allows it');
}

function checkStream(request: FuzzRequest, text: string, judge: Judge): unknown {
  const frames = parseFrames(text);
  const first = frames[0]?.data.sequence_number ?? 0;
  for (const [index, { data }] of frames.entries()) {
    assert.equal(data.sequence_number, first + index);
    if (request.described !== undefined)
      assert.equal(judge.answer(request.described, 200, 'text/event-stream', data), undefined);
  }
  const last = frames.at(-1)?.data;
  if (last === undefined) return undefined;
  assert.match(last.type, /^response\.(completed|failed|incomplete)$/, 'a stream has an end');
  return last['response'];
}
