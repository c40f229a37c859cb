import assert from 'node:assert/strict';
import type { Response } from '../../server/src/protocol/response.ts';
import { History } from '../support/history.ts';
import type { Random } from '../support/random.ts';
import type { Frame } from '../support/sse.ts';
import { ServerGone, call, follow, hasEnded, post, request, streamUrl, urlOf } from './clients.ts';
import type { Answer } from './clients.ts';
import { Milestones, Tasks, count } from './milestones.ts';
import { planOf } from './plan.ts';
import type { Pace, Plan } from './plan.ts';

/** Clients of many kinds, and what they were told. It outlives the servers. */

/** A response that was acknowledged. */
export type Acknowledged = {
  history: History;
  plan: Plan;
  /** A word that is in its input and nowhere else. */
  mark: string;
  create: Create;
  killsBefore: number;
  cancelSent: boolean;
  deleteSent: boolean;
  deleted: boolean;
};

/** A create that a client sends, to the next server too if this one dies before it answers and there is a key. */
export type Create = {
  plan: Plan;
  mark: string;
  init: RequestInit;
  /** What the request continues. */
  more: More;
  /** How often servers were killed before it was sent first. */
  kills: number;
  keyed: boolean;
  /** Acknowledged or refused. */
  answered: boolean;
};

/** One server, from its start to its end. */
export type Life = {
  url: string;
  /** How often servers were killed before. */
  kills: number;
  random: Random;
  seen: Milestones;
  /** It was told to stop: from then on it may refuse anything. */
  stopping: boolean;
};

const LOOK_UP = { type: 'function', name: 'look_up', parameters: { type: 'object', properties: {} } };

type More = { conversation?: string; previous_response_id?: string };

export class Population {
  readonly acknowledged: Acknowledged[] = [];
  readonly foreground: Response[] = [];
  /** Ids of conversations that were acknowledged. */
  readonly conversations: string[] = [];
  /** How often clients did what. */
  readonly figures: Map<string, number>;
  readonly #pace: Pace;
  #unanswered: Create[] = [];
  #life: Life = { url: '', kills: 0, random: { below: () => 0 } as never, seen: new Milestones(), stopping: false };

  constructor(pace: Pace, figures = new Map<string, number>()) {
    this.#pace = pace;
    this.figures = figures;
  }

  /**
   * Whoever is there comes back, `newcomers` join. Resolves when all of them are done or have lost their server;
   * rejects when one saw what it must not see.
   */
  async live(life: Life, newcomers: number): Promise<void> {
    this.#life = life;
    const before = this.acknowledged.filter(({ deleteSent }) => !deleteSent);
    const unanswered = this.#unanswered.splice(0);
    const clients = [
      ...unanswered.map((create) => this.#send(create)),
      ...Array.from({ length: newcomers }, (_, index) => this.#newClient(index)),
      ...before.map((one) => this.#comeBack(one)),
    ];
    await Promise.all(
      clients.map((client) =>
        client.catch((error: unknown) => {
          if (!(error instanceof ServerGone)) throw error;
        }),
      ),
    );
  }

  // ------------------------------------------------------------ newcomers

  /** The first few make sure that each kind is there. */
  async #newClient(index: number): Promise<void> {
    const { random } = this.#life;
    if (index === 0) return this.#inConversation();
    if (index === 1 || random.chance(0.06)) return this.#inForeground();
    const plan = planOf(random, this.#pace, index === 2 ? 'cancel' : index === 3 ? 'delete' : undefined);
    const previous = random.chance(0.15) ? this.#answered() : undefined;
    await this.#create(plan, previous === undefined ? {} : { previous_response_id: previous });
  }

  async #create(plan: Plan, more: More): Promise<void> {
    const { scripted, stream, limit, toolCall } = plan;
    const mark = `mark${this.#life.random.below(1e9)}x${this.#life.random.below(1e9)}`;
    const body = request(scripted, {
      stream,
      input: `Tell me about otters, ${mark}.`,
      ...more,
      ...(limit === undefined ? {} : { max_output_tokens: limit }),
      ...(toolCall ? { tools: [LOOK_UP] } : {}),
    });
    const keyed = this.#life.random.chance(0.4);
    const init = post(body, keyed ? { 'idempotency-key': mark } : {});
    const create = { plan, mark, init, more, kills: this.#life.kills, keyed, answered: false };
    await this.#send(create);
  }

  async #send(create: Create): Promise<void> {
    try {
      await (create.plan.stream ? this.#streams(create) : this.#polls(create));
    } finally {
      if (create.keyed && !create.answered) this.#unanswered.push(create);
    }
  }

  /** With its key it is the same response, whatever has become of it. */
  async #sendAgain({ create, history }: Acknowledged): Promise<void> {
    if (!create.keyed || this.#life.random.chance(0.5)) return;
    const leave = new AbortController();
    const answer = await fetch(`${this.#life.url}/v1/responses`, { ...create.init, signal: leave.signal }).catch(() => {
      throw new ServerGone(this.#life.url);
    });
    try {
      if (answer.status === 503 && this.#life.stopping) throw new ServerGone(this.#life.url);
      assert.equal(answer.headers.get('idempotent-replayed'), 'true', `${history.id} was made again`);
      if (create.plan.stream) assert.equal(answer.headers.get('x-response-id'), history.id);
      this.#mark('sent again');
    } finally {
      leave.abort();
    }
  }

  /** A conversation of its own, with two turns one after the other. */
  async #inConversation(): Promise<void> {
    const { url, random } = this.#life;
    const { status, body } = await this.#call(`${url}/v1/conversations`, post({}));
    assert.equal(status, 200, body);
    const { id } = JSON.parse(body) as { id: string };
    this.conversations.push(id);
    for (let turn = 0; turn < 2; turn += 1) {
      await this.#create(planOf(random, this.#pace), { conversation: random.pick(this.conversations) });
    }
  }

  #answered(): string | undefined {
    const found = this.acknowledged.filter(
      ({ history, deleteSent, plan }) => !deleteSent && plan.end === undefined && isAnswered(history),
    );
    return found.length === 0 ? undefined : this.#life.random.pick(found).history.id;
  }

  #acknowledge(id: string, create: Create): Acknowledged {
    create.answered = true;
    const one: Acknowledged = {
      history: new History(id),
      plan: create.plan,
      mark: create.mark,
      create,
      killsBefore: create.kills,
      cancelSent: false,
      deleteSent: false,
      deleted: false,
    };
    this.acknowledged.push(one);
    this.#mark('created');
    return one;
  }

  async #streams(create: Create): Promise<void> {
    const { plan, init } = create;
    const life = this.#life;
    const leave = new AbortController();
    const others = new Tasks();
    let one: Acknowledged | undefined;
    let note: (frame: Frame) => void = () => {};
    const end = await follow(
      `${life.url}/v1/responses`,
      { ...init, signal: leave.signal },
      {
        onId: (id) => {
          one = this.#acknowledge(id, create);
          note = this.#noting(one, others);
          if (plan.polls) others.start(this.#pollOn(life, one));
        },
        onFrame: (frame) => {
          note(frame);
          if (frame.data.sequence_number === plan.leaveAt) leave.abort();
        },
      },
    );
    if (typeof end === 'number') this.#checkRefusal(end, create);
    if (one !== undefined && leave.signal.aborted && !one.deleteSent) {
      this.#mark('resumed');
      await follow(streamUrl(life.url, one.history.id, plan.leaveAt), undefined, { onFrame: note });
    }
    await others.settled();
  }

  async #polls(create: Create): Promise<void> {
    const { plan, init } = create;
    const life = this.#life;
    const { status, body } = await this.#call(`${life.url}/v1/responses`, init);
    if (status !== 200) {
      this.#checkRefusal(status, create, body);
      return;
    }
    const created = JSON.parse(body) as Response;
    const one = this.#acknowledge(created.id, create);
    one.history.witness().snapshot(created);
    const others = new Tasks();
    others.start(this.#pollOn(life, one));
    // It sees no events: the ones it would cancel at are never reached, so it does so at once.
    if (plan.end !== undefined) others.start(this.#end(life, one, plan.end.verb));
    await others.settled();
  }

  /** A conversation may be held, what is continued may be deleted meanwhile, and who stops takes nothing new. */
  #checkRefusal(status: number, create: Create, body = ''): void {
    const mayBe = Object.keys(create.more).length > 0 ? [400] : [];
    assert.ok(
      [...mayBe, ...(this.#life.stopping ? [503] : [])].includes(status),
      `a create was refused: ${status} ${body}`,
    );
    create.answered = status !== 503;
    count(this.figures, 'refused');
  }

  async #inForeground(): Promise<void> {
    const { random, url } = this.#life;
    const scripted = { tokens: random.below(20), first_token_ms: 1, interval_ms: 1 };
    const body = request(scripted, { background: false, store: true });
    const answer = await this.#call(`${url}/v1/responses`, post(body));
    // No slot in time is an answer too.
    if (answer.status === 200) {
      const response = JSON.parse(answer.body) as Response;
      if (hasEnded(response)) this.foreground.push(response);
      this.#mark('answered');
    } else assert.ok(answer.status === 429 || (answer.status === 500 && this.#life.stopping), answer.body);
  }

  // ------------------------------------------------------------ who was there before

  /** After a restart: reads on from somewhere, polls, or cancels. */
  async #comeBack(one: Acknowledged): Promise<void> {
    const life = this.#life;
    await this.#sendAgain(one);
    const others = new Tasks();
    if (life.random.chance(0.1)) others.start(this.#end(life, one, 'cancel'));
    if (one.plan.stream && life.random.chance(0.7)) {
      const after = life.random.below(one.history.cursor + 2) - 1;
      this.#mark('resumed');
      const end = await follow(streamUrl(life.url, one.history.id, after), undefined, {
        onFrame: this.#noting(one, others),
      });
      const refused = typeof end === 'number' && !(life.stopping && end === 503);
      assert.ok(!refused, `${one.history.id} was acknowledged, and after a kill its stream is a ${String(end)}`);
    } else {
      others.start(this.#pollOn(life, one));
    }
    await others.settled();
  }

  /** What a client does with each frame it sees. */
  #noting(one: Acknowledged, others: Tasks): (frame: Frame) => void {
    const life = this.#life;
    const witness = one.history.witness();
    return (frame) => {
      witness.frame(frame);
      const { end } = one.plan;
      if (end !== undefined && frame.data.sequence_number === end.at) others.start(this.#end(life, one, end.verb));
      this.#mark('frame');
      life.seen.mark(frame.event);
    };
  }

  async #pollOn(life: Life, one: Acknowledged): Promise<void> {
    const witness = one.history.witness();
    for (;;) {
      const { status, body } = await this.#call(urlOf(life.url, one.history.id));
      if (status === 404 && one.deleteSent) return;
      assert.equal(status, 200, `${one.history.id} was acknowledged, and a poll says ${status}: ${body}`);
      const response = JSON.parse(body) as Response;
      witness.snapshot(response);
      this.#mark('polled');
      if (hasEnded(response)) return;
      await new Promise((resolve) => setTimeout(resolve, one.plan.paceMs));
    }
  }

  async #end(life: Life, one: Acknowledged, verb: 'cancel' | 'delete'): Promise<void> {
    const { id } = one.history;
    const cancels = verb === 'cancel';
    if (cancels) one.cancelSent = true;
    else one.deleteSent = true;
    const sent = cancels
      ? this.#call(`${urlOf(life.url, id)}/cancel`, { method: 'POST' })
      : this.#call(urlOf(life.url, id), { method: 'DELETE' });
    this.#mark(`${verb} sent`);
    const { status, body } = await sent;
    if (status === 404 && one.deleteSent) return;
    assert.equal(status, 200, `${verb} of ${id}: ${body}`);
    if (!cancels) one.deleted = true;
    else {
      const answer = JSON.parse(body) as Response;
      assert.ok(hasEnded(answer), `a cancel of ${id} was answered with ${answer.status}`);
      if (answer.status === 'cancelled') one.history.cancelled = answer;
      one.history.witness().snapshot(answer);
    }
    this.#mark(`${verb} answered`);
  }

  async #call(url: string, init?: RequestInit): Promise<Answer> {
    const life = this.#life;
    const answer = await call(url, init);
    if (answer.status === 503 && life.stopping) throw new ServerGone(url);
    return answer;
  }

  #mark(name: string): void {
    count(this.figures, name);
    this.#life.seen.mark(name);
  }
}

/** Whether somebody saw it end as completed: then it can be continued. */
function isAnswered({ witnesses }: History): boolean {
  return witnesses.some(({ seen }) =>
    seen.some((one) =>
      'frame' in one ? one.frame.event === 'response.completed' : one.snapshot.status === 'completed',
    ),
  );
}
