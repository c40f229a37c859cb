import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { FuzzClient } from '../support/fuzz/send.ts';
import type { FuzzAnswer } from '../support/fuzz/send.ts';
import { Requests } from '../support/fuzz/requests.ts';
import type { FuzzRequest } from '../support/fuzz/requests.ts';
import { MODELS } from '../support/fuzz/values.ts';
import type { Pool } from '../support/fuzz/values.ts';
import { spawnHolt } from '../support/holt.ts';
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
/** The pool forgets at random beyond this, so that histories stay short. */
const POOL = 60;
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
  await using holt = await spawnHolt({ flags: ['--upstream', upstream.url] });
  const document = await fetchDocument(holt);
  const pool: Pool = { responses: [], conversations: [], items: [], conversationItems: [] };
  const requests = new Requests(document, seed, pool);
  const judge = makeJudge(document);
  const statuses = new Map<number, number>();
  const accepted = new Set<string>();
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
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      try {
        const body = check(request, answer, judge);
        if (answer.status === 200) {
          collect(pool, request, body, n);
          accepted.add(request.described?.operation.operationId ?? '');
        }
      } catch (error) {
        const shown = answer.body.toString().slice(0, 1_000);
        throw new Error(`${tell(request, n)}\n-> ${answer.status} ${shown}`, { cause: error });
      }
      await nextTurn();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));

  const told = [...statuses].toSorted(([a], [b]) => a - b).map(([status, times]) => `${status}: ${times}`);
  t.diagnostic(`${count} requests, answered ${told.join(', ')}`);
  assertAlive(holt);
  assert.equal((await holt.client.responses.create({ model: 'any', input: 'Hello' })).status, 'completed');
  assert.ok((statuses.get(200) ?? 0) > count / 3, 'a fair part was accepted');
  assert.ok((statuses.get(400) ?? 0) > count / 10, 'a fair part was refused');
  const never = Object.values(document.paths)
    .flatMap((methods) => Object.values(methods))
    .map(({ operationId }) => operationId)
    .filter((id) => !accepted.has(id));
  assert.deepEqual(never, [], 'every operation was accepted at least once');
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
  if (answer.left || request.method === 'HEAD') return undefined;
  const text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  if (contentType.startsWith('text/event-stream')) return checkStream(request, text, judge);
  assert.match(contentType, /^application\/json/);
  const json: unknown = JSON.parse(text);
  if (status >= 400) checkEnvelope(request, json);
  if (request.described === undefined) return json;
  if (status === 200) assert.equal(judge.request(request.described, bodyOf(request)), undefined, 'was accepted');
  assert.equal(judge.answer(request.described, status, contentType, json), undefined);
  return json;
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

/** Remembers the ids that later requests can name, and of those that are gone one in ten. */
function collect(pool: Pool, { target }: FuzzRequest, json: unknown, n: number): void {
  if (typeof json !== 'object' || json === null) return;
  const { id, deleted, store, data, output } = json as Record<string, unknown>;
  if (typeof id === 'string' && store !== false) {
    const list = id.startsWith('resp_') ? pool.responses : id.startsWith('conv_') ? pool.conversations : undefined;
    if (list !== undefined && deleted === true && n % 10 !== 0) forget(list, id);
    else if (list !== undefined) keep(list, id, n);
  }
  const conversation = /^\/v1\/conversations\/(\w+)\/items/.exec(target)?.[1];
  for (const item of [data, output].flat()) {
    const itemId = (item as { id?: unknown } | null | undefined)?.id;
    if (typeof itemId !== 'string') continue;
    keep(pool.items, itemId, n);
    if (conversation !== undefined) keep(pool.conversationItems, [conversation, itemId], n);
  }
}

function keep<T>(list: T[], id: T, n: number): void {
  if (list.includes(id)) return;
  if (list.length < POOL) list.push(id);
  else list[n % POOL] = id;
}

function forget(list: string[], id: string): void {
  const place = list.indexOf(id);
  if (place >= 0) list.splice(place, 1);
}
