import assert from 'node:assert/strict';
import { encodeInProgress } from '../../server/src/domain/chunk-codec.ts';
import type { Response } from '../../server/src/protocol/response.ts';
import { History } from '../support/history.ts';
import type { Frame } from '../support/sse.ts';
import {
  ServerGone,
  call,
  checkGone,
  checkStreamed,
  follow,
  get,
  poll,
  post,
  request,
  streamUrl,
  urlOf,
} from './clients.ts';
import { Machine, readStored } from './machine.ts';
import { Random } from '../support/random.ts';

/**
 * A round: many clients of many kinds on one server that is killed with -9 again and again, at moments that a seed
 * chooses among what the clients have seen; then everything comes to its end, and all that was seen is compared with
 * the logs.
 */

export type RoundOptions = {
  seed: number;
  /** New ones after every start. */
  clients: number;
  kills: number;
  /** Below the number of clients, so that some responses wait in the queue. */
  concurrency: number;
  /** Whether some kills come while the server recovers. */
  atBoot: boolean;
};

type Plan = {
  stream: boolean;
  tokens: number;
  scripted: Record<string, string | number>;
  failAfter: number | undefined;
  limit: number | undefined;
  toolCall: boolean;
  /** Cancels or deletes at the event with this number. */
  end: { verb: 'cancel' | 'delete'; at: number } | undefined;
  /** Leaves at this event and comes back with its cursor. */
  leaveAt: number | undefined;
  polls: boolean;
  paceMs: number;
};

/** A response that was acknowledged. */
type Acknowledged = {
  history: History;
  plan: Plan;
  killsBefore: number;
  cancelSent: boolean;
  deleteSent: boolean;
  deleted: boolean;
};

const LOOK_UP = { type: 'function', name: 'look_up', parameters: { type: 'object', properties: {} } };
const MAX_TOKENS = 90;
const MAX_ATTEMPTS = 3;

export async function killRound(signal: AbortSignal, options: RoundOptions): Promise<Map<string, number>> {
  await using machine = await Machine.start(signal, { worker: { concurrency: options.concurrency } });
  const round = new Round(machine, options, await tellStory(machine.url));
  try {
    for (let kill = 0; kill < options.kills; kill += 1) {
      const random = new Random(options.seed * 100 + kill);
      const orphansAtBoot = options.atBoot && random.chance(0.4) ? 1 + random.below(6) : 0;
      await round.loadAndKill(random);
      if (orphansAtBoot > 0) await machine.startAndKill(orphansAtBoot);
      await machine.start();
    }
    return await round.settle();
  } catch (error) {
    throw new Error(`${JSON.stringify(options)}, server ${machine.state}\n${machine.complaints}`, { cause: error });
  }
}

/** The tokens that the demonstration model says with nobody in its way. */
async function tellStory(base: string): Promise<string[]> {
  const words: string[] = [];
  const scripted = { tokens: MAX_TOKENS, first_token_ms: 0, interval_ms: 0 };
  const quiet = { background: false, stream: true, stream_options: { include_obfuscation: false } };
  await follow(`${base}/v1/responses`, post(request(scripted, quiet)), {
    onFrame: ({ event, data }) => {
      if (event === 'response.output_text.delta') words.push(String(data['delta']));
    },
  });
  assert.equal(words.length, MAX_TOKENS);
  return words;
}

class Round {
  readonly #machine: Machine;
  readonly #options: RoundOptions;
  readonly #story: readonly string[];
  readonly #acknowledged: Acknowledged[] = [];
  readonly #foreground: Response[] = [];
  /** These three belong to what happens between two kills. */
  #seen = new Milestones();
  #random = new Random(0);
  #killsBefore = 0;

  constructor(machine: Machine, options: RoundOptions, story: readonly string[]) {
    this.#machine = machine;
    this.#options = options;
    this.#story = story;
  }

  /** Comes back to what is there, adds new clients, kills the server at a moment, waits until every client is gone. */
  async loadAndKill(random: Random): Promise<void> {
    this.#seen = new Milestones();
    this.#random = random;
    this.#killsBefore = this.#machine.kills;
    const moment = this.#moment();
    const before = this.#acknowledged.filter(({ deleteSent }) => !deleteSent);
    const clients = [
      ...Array.from({ length: this.#options.clients }, () => this.#newClient()),
      ...before.map((one) => this.#comeBack(one)),
    ].map((client) =>
      client.catch((error: unknown) => {
        if (!(error instanceof ServerGone)) throw error;
      }),
    );
    const all = Promise.all(clients);
    await Promise.race([this.#seen.reached(...moment), all]);
    await this.#machine.kill();
    await all;
  }

  #moment(): [string, number] {
    const random = this.#random;
    const { clients } = this.#options;
    return random.pick<() => [string, number]>([
      () => ['created', 1 + random.below(clients)],
      () => ['frame', 1 + random.below(30)],
      () => ['frame', 1 + random.below(clients * 40)],
      () => ['frame', 1 + random.below(clients * 40)],
      () => ['response.in_progress', 1 + random.below(clients)],
      () => ['response.output_item.added', 1 + random.below(clients)],
      () => ['response.content_part.added', 1 + random.below(clients)],
      () => ['response.output_text.delta', 1 + random.below(clients * 10)],
      () => ['response.output_item.done', 1 + random.below(clients)],
      () => ['response.completed', 1 + random.below(Math.ceil(clients / 2))],
      () => ['cancel sent', 1 + random.below(2)],
      () => ['cancel answered', 1 + random.below(2)],
      () => ['delete sent', 1],
      () => ['delete answered', 1],
      () => ['polled', 1 + random.below(clients * 3)],
    ])();
  }

  // ------------------------------------------------------------ clients

  async #newClient(): Promise<void> {
    if (this.#random.chance(0.08)) return this.#inForeground();
    const plan = this.#plan();
    const { scripted, stream, limit, toolCall } = plan;
    const body = request(scripted, {
      stream,
      ...(limit === undefined ? {} : { max_output_tokens: limit }),
      ...(toolCall ? { tools: [LOOK_UP] } : {}),
    });
    await (stream ? this.#streams(plan, post(body)) : this.#polls(plan, post(body)));
  }

  #plan(): Plan {
    const random = this.#random;
    const tokens = random.below(MAX_TOKENS);
    const toolCall = random.chance(0.1);
    const reasoning = random.chance(0.3) ? random.below(20) : 0;
    const failAfter = random.chance(0.1) ? random.below(60) : undefined;
    const limit = random.chance(0.1) ? 16 + random.below(40) : undefined;
    const scripted: Plan['scripted'] = {
      tokens,
      reasoning_tokens: reasoning,
      first_token_ms: random.pick([0, 0, 5, 50, 300, 1_000]),
      interval_ms: random.pick([0, 1, 5, 15, 30]),
      ...(failAfter === undefined ? {} : { fail_after: failAfter }),
      ...(toolCall ? { tool_call: 'look_up' } : {}),
    };
    const at = random.below(random.pick([4, 30, 120]));
    return {
      stream: random.chance(0.75),
      tokens,
      scripted,
      failAfter,
      limit,
      toolCall,
      end: random.chance(0.2) ? { verb: random.chance(0.7) ? 'cancel' : 'delete', at } : undefined,
      leaveAt: random.chance(0.3) ? random.below(60) : undefined,
      polls: random.chance(0.4),
      paceMs: 1 + random.below(30),
    };
  }

  #acknowledge(id: string, plan: Plan): Acknowledged {
    const one: Acknowledged = {
      history: new History(id),
      plan,
      killsBefore: this.#killsBefore,
      cancelSent: false,
      deleteSent: false,
      deleted: false,
    };
    this.#acknowledged.push(one);
    this.#seen.mark('created');
    return one;
  }

  async #streams(plan: Plan, init: RequestInit): Promise<void> {
    const base = this.#machine.url;
    const leave = new AbortController();
    const others = new Tasks();
    let one: Acknowledged | undefined;
    let note: (frame: Frame) => void = () => {};
    await follow(
      `${base}/v1/responses`,
      { ...init, signal: leave.signal },
      {
        onId: (id) => {
          one = this.#acknowledge(id, plan);
          note = this.#noting(one, others);
          if (plan.polls) others.start(this.#pollOn(base, one));
        },
        onFrame: (frame) => {
          note(frame);
          if (frame.data.sequence_number === plan.leaveAt) leave.abort();
        },
      },
    );
    if (one !== undefined && leave.signal.aborted && !one.deleteSent) {
      await follow(streamUrl(base, one.history.id, plan.leaveAt), undefined, { onFrame: note });
    }
    await others.settled();
  }

  async #polls(plan: Plan, init: RequestInit): Promise<void> {
    const base = this.#machine.url;
    const { status, body } = await call(`${base}/v1/responses`, init);
    assert.equal(status, 200, body);
    const created = JSON.parse(body) as Response;
    const one = this.#acknowledge(created.id, plan);
    one.history.witness().snapshot(created);
    const others = new Tasks();
    others.start(this.#pollOn(base, one));
    // It sees no events: the ones it would cancel at are never reached, so it does so at once.
    if (plan.end !== undefined) others.start(this.#end(base, one, plan.end.verb));
    await others.settled();
  }

  async #inForeground(): Promise<void> {
    const scripted = { tokens: this.#random.below(20), interval_ms: 2 };
    const body = request(scripted, { background: false, store: true });
    const answer = await call(`${this.#machine.url}/v1/responses`, post(body));
    // No slot within ten seconds is an answer too.
    if (answer.status !== 200) assert.equal(answer.status, 429, answer.body);
    else this.#foreground.push(JSON.parse(answer.body) as Response);
  }

  /** After a restart: reads on from somewhere, polls, or cancels. */
  async #comeBack(one: Acknowledged): Promise<void> {
    const base = this.#machine.url;
    const others = new Tasks();
    if (this.#random.chance(0.1)) others.start(this.#end(base, one, 'cancel'));
    if (one.plan.stream && this.#random.chance(0.7)) {
      const after = this.#random.below(one.history.cursor + 2) - 1;
      const end = await follow(streamUrl(base, one.history.id, after), undefined, {
        onFrame: this.#noting(one, others),
      });
      assert.ok(typeof end !== 'number', `${one.history.id} was acknowledged, and after a kill its stream is a ${end}`);
    } else {
      others.start(this.#pollOn(base, one));
    }
    await others.settled();
  }

  /** What a client does with each frame it sees. */
  #noting(one: Acknowledged, others: Tasks): (frame: Frame) => void {
    const base = this.#machine.url;
    const witness = one.history.witness();
    return (frame) => {
      witness.frame(frame);
      const { end } = one.plan;
      if (end !== undefined && frame.data.sequence_number === end.at) others.start(this.#end(base, one, end.verb));
      this.#seen.mark('frame');
      this.#seen.mark(frame.event);
    };
  }

  async #pollOn(base: string, one: Acknowledged): Promise<void> {
    const witness = one.history.witness();
    const snapshot = (response: Response): void => {
      witness.snapshot(response);
      this.#seen.mark('polled');
    };
    try {
      await poll(base, one.history.id, { snapshot }, one.plan.paceMs);
    } catch (error) {
      if (!(error instanceof assert.AssertionError && one.deleteSent)) throw error;
    }
  }

  async #end(base: string, one: Acknowledged, verb: 'cancel' | 'delete'): Promise<void> {
    const { id } = one.history;
    const cancels = verb === 'cancel';
    if (cancels) one.cancelSent = true;
    else one.deleteSent = true;
    const sent = cancels
      ? call(`${urlOf(base, id)}/cancel`, { method: 'POST' })
      : call(urlOf(base, id), { method: 'DELETE' });
    this.#seen.mark(`${verb} sent`);
    const { status, body } = await sent;
    if (status === 404 && one.deleteSent) return;
    assert.equal(status, 200, `${verb} of ${id}: ${body}`);
    if (!cancels) one.deleted = true;
    else {
      const answer = JSON.parse(body) as Response;
      if (answer.status === 'cancelled') one.history.cancelled = answer;
      one.history.witness().snapshot(answer);
    }
    this.#seen.mark(`${verb} answered`);
  }

  // ------------------------------------------------------------ the end

  /** How many responses ended how. */
  async settle(): Promise<Map<string, number>> {
    const base = this.#machine.url;
    const ends = new Map<string, number>();
    const unstreamed: Acknowledged[] = [];
    await Promise.all(
      this.#acknowledged.map(async (one) => {
        const { id } = one.history;
        if (one.deleteSent && (one.deleted || (await call(urlOf(base, id))).status === 404)) {
          await checkGone(base, id);
          count(ends, 'deleted');
          return;
        }
        const final = one.plan.stream
          ? await checkStreamed(base, one.history)
          : await poll(base, id, one.history.witness());
        if (!one.plan.stream) unstreamed.push(one);
        this.#checkEnd(one, final);
        count(ends, final.status);
      }),
    );
    for (const answered of this.#foreground) assert.deepEqual(await get(base, answered.id), answered);
    await this.#checkNothingStuck(unstreamed);
    return ends;
  }

  #checkEnd({ history: { id }, plan, ...one }: Acknowledged, final: Response): void {
    const text = textOf(final);
    const killed = this.#machine.kills - one.killsBefore;
    const words = this.#story.slice(0, plan.toolCall ? 0 : plan.tokens);
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
        else assert.ok(message.includes('stopped') && killed > 0 && final.output.length > 0, outcome);
        return;
      }
      default:
        assert.fail(outcome);
    }
  }

  /** Also what was created without anybody hearing of it has come to its end. */
  async #checkNothingStuck(unstreamed: readonly Acknowledged[]): Promise<void> {
    const { url } = this.#machine;
    // Whoever waited before this one has begun when it ends; what has begun may end while the server stops.
    const last = await call(`${url}/v1/responses`, post(request({ tokens: 1, first_token_ms: 0 })));
    await poll(url, (JSON.parse(last.body) as Response).id, new History('last').witness());
    assert.equal(await this.#machine.terminate(), 0);
    await this.#machine.withStore(async (store) => {
      assert.deepEqual(await store.listOrphans('nobody', 0, 100), []);
      assert.deepEqual(await store.claim('nobody', 1, encodeInProgress(), Date.now()), []);
      for (const { history } of unstreamed) {
        const { log, final } = await readStored(store, history.id);
        history.check(log, final);
      }
    });
  }
}

/** Counts what happened, and tells who waits for it. */
class Milestones {
  readonly #counts = new Map<string, number>();
  readonly #waiting = new Map<string, () => void>();

  mark(name: string): void {
    count(this.#counts, name);
    this.#waiting.get(`${name} ${this.#counts.get(name)}`)?.();
  }

  reached(name: string, times: number): Promise<void> {
    if ((this.#counts.get(name) ?? 0) >= times) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.set(`${name} ${times}`, resolve));
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** What goes on beside a client's stream. A server that goes away ends it and is no failure. */
class Tasks {
  readonly #outcomes: Promise<unknown>[] = [];

  start(task: Promise<void>): void {
    this.#outcomes.push(task.catch((error: unknown) => error));
  }

  /** All of them, also when one fails; then that one's failure. */
  async settled(): Promise<void> {
    for (const error of await Promise.all(this.#outcomes)) {
      if (error !== undefined && !(error instanceof ServerGone)) throw error;
    }
  }
}

function textOf({ output }: Response): string {
  return output
    .flatMap((item) => (item.type === 'message' ? item.content : []))
    .map((part) => (part.type === 'output_text' ? part.text : ''))
    .join('');
}
