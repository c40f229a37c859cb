import assert from 'node:assert/strict';
import type { Response } from '../../server/src/protocol/response.ts';
import { History, checkLog } from '../support/history.ts';
import { call, checkGone, checkStreamed, get, poll, post, request, urlOf } from './clients.ts';
import { checkRows } from './check-rows.ts';
import { readStored } from './machine.ts';
import type { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { count } from './milestones.ts';
import type { Acknowledged, Population } from './population.ts';

/** The end of a round: everything comes to its end, and all that was seen is compared with the logs. */

export type Settling = {
  url: string;
  data: string;
  /** How often servers were killed in all, and how often one ended in any way. */
  kills: number;
  ends: number;
  /** The tokens that the demonstration model says with nobody in its way. */
  story: readonly string[];
  /** SIGTERM. Resolves with the exit code. */
  terminate(): Promise<number | null>;
  withStore<T>(use: (store: SqliteStore) => Promise<T>): Promise<T>;
};

/** A response that is tried so often fails then. */
const MAX_ATTEMPTS = 3;

/** How many responses ended how. */
export async function settle(settling: Settling, population: Population): Promise<Map<string, number>> {
  const { url } = settling;
  const ends = new Map<string, number>();
  const finals = new Map<string, Response>();
  const unstreamed: Acknowledged[] = [];
  await Promise.all(
    population.acknowledged.map(async (one) => {
      const { id } = one.history;
      if (one.deleteSent && (one.deleted || (await call(urlOf(url, id))).status === 404)) {
        one.deleted = true;
        await checkGone(url, id);
        count(ends, 'deleted');
        return;
      }
      const final = one.plan.stream
        ? await checkStreamed(url, one.history)
        : await poll(url, id, one.history.witness());
      if (!one.plan.stream) unstreamed.push(one);
      finals.set(id, final);
      checkEnd(settling, one, final);
      count(ends, final.status);
    }),
  );
  for (const answered of population.foreground) assert.deepEqual(await get(url, answered.id), answered);
  await checkConversations(url, population, finals);
  // Whoever waited before this one has begun when it ends; what has begun may end while the server stops.
  const last = await call(`${url}/v1/responses`, post(request({ tokens: 1, first_token_ms: 0 })));
  await poll(url, (JSON.parse(last.body) as Response).id, new History('last').witness());
  assert.equal(await settling.terminate(), 0);
  const others = checkRows(settling.data, population.acknowledged);
  await settling.withStore(async (store) => {
    for (const { history } of unstreamed) {
      const { log, final } = await readStored(store, history.id);
      history.check(log, final);
    }
    // Created without anybody hearing of it: a whole history all the same.
    for (const id of others) {
      const { log, final } = await readStored(store, id);
      checkLog(log, id);
      new History(id).check(log, final);
    }
  });
  return ends;
}

function checkEnd(settling: Settling, { history: { id }, plan, ...one }: Acknowledged, final: Response): void {
  const text = textOf(final);
  const killed = settling.kills - one.killsBefore;
  const words = settling.story.slice(0, plan.toolCall ? 0 : plan.tokens);
  const outcome = `${id} ${JSON.stringify(plan)}, killed ${killed} times, ended ${final.status} ${JSON.stringify(final.error)}`;
  assert.ok(words.join('').startsWith(text), `${outcome}, with the text ${text}`);
  assert.ok(
    final.output.every(({ status }, index) => status === 'completed' || index === final.output.length - 1),
    outcome,
  );
  switch (final.status) {
    case 'completed':
      assert.equal(text, words.join(''), outcome);
      assert.ok(
        final.output.every(({ status }) => status === 'completed'),
        outcome,
      );
      return;
    case 'incomplete':
      assert.ok(plan.limit !== undefined, outcome);
      return;
    case 'cancelled':
      assert.ok(one.cancelSent || one.deleteSent, outcome);
      return;
    case 'failed': {
      assert.equal(final.error?.code, 'server_error', outcome);
      const message = final.error?.message ?? '';
      if (message.includes('scripted.fail_after')) assert.ok(plan.failAfter !== undefined, outcome);
      else if (message.includes('each time')) assert.ok(killed >= MAX_ATTEMPTS && final.output.length === 0, outcome);
      else assert.ok(message.includes('stopped') && settling.ends > 0 && final.output.length > 0, outcome);
      return;
    }
    default:
      assert.fail(outcome);
  }
}

/** Each turn is in its conversation whole and once if it was answered, and not at all if not. */
async function checkConversations(
  url: string,
  { conversations, acknowledged }: Population,
  finals: ReadonlyMap<string, Response>,
): Promise<void> {
  for (const conversation of conversations) {
    const { status, body } = await call(`${url}/v1/conversations/${conversation}/items?limit=100&order=asc`);
    assert.equal(status, 200, `${conversation} was acknowledged: ${body}`);
    const items = (JSON.parse(body) as { data: { id: string }[] }).data;
    const ids = items.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length, `${conversation} has an item twice`);
    for (const one of acknowledged) {
      const final = finals.get(one.history.id);
      if (one.create.more.conversation !== conversation || final === undefined) continue;
      const answered = final.status === 'completed' || final.status === 'incomplete';
      const what = `${one.history.id}, ${final.status}, in ${conversation}`;
      for (const { id } of final.output) assert.equal(ids.includes(id), answered, `${what}: its item ${id}`);
      const asked = items.filter((item) => JSON.stringify(item).includes(one.mark)).length;
      assert.equal(asked, answered ? 1 : 0, `${what}: its input`);
    }
  }
}

function textOf({ output }: Response): string {
  return output
    .flatMap((item) => (item.type === 'message' ? item.content : []))
    .map((part) => (part.type === 'output_text' ? part.text : ''))
    .join('');
}
