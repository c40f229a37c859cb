import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Response } from '../../server/src/protocol/response.ts';
import { ServerGone, call, checkStreamed, follow, get, post, request, streamUrl, urlOf } from '../crash/clients.ts';
import { Disk, FAULTS, HEALTHY } from '../support/disk/disk.ts';
import { History } from '../support/history.ts';
import { Random } from '../support/random.ts';

/**
 * A round: clients create, stream, resume, poll and cancel on one server whose power is cut again and again, so that all that
 * was not synced is gone, or, as a seed has it, some of it. Meanwhile the disk may be full or fail for a while. In the
 * end all that anybody has seen is compared with what is there.
 */

export type PowerRound = {
  seed: number;
  cuts: number;
  /** New ones after every start. */
  clients: number;
  /** Whether the disk fails now and then. */
  faults: boolean;
};

/** How many responses ended how. */
export async function powerRound(t: TestContext, options: PowerRound): Promise<Map<string, number> | undefined> {
  await using disk = await Disk.make(t, options.seed);
  if (disk === undefined) return undefined;
  const round = new Round(disk);
  try {
    for (let cut = 0; cut < options.cuts; cut += 1) {
      const random = new Random(options.seed * 100 + cut);
      await disk.start();
      await round.loadAndCut(random, options);
    }
    disk.set(HEALTHY);
    await disk.start();
    return await round.settle();
  } catch (error) {
    throw new Error(`${JSON.stringify(options)}\n${disk.holt.errors()}`, { cause: error });
  }
}

class Round {
  readonly #disk: Disk;
  readonly #histories: History[] = [];
  readonly #foreground: Response[] = [];
  /** The disk has failed since the last start, so a create may be refused. */
  #failing = false;
  /** That clients have seen since the last start. */
  #frames = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  async loadAndCut(random: Random, { clients, faults }: PowerRound): Promise<void> {
    this.#failing = false;
    this.#frames = 0;
    this.#disk.set({ early: random.pick([0, 0, 30, 90]) });
    const before = [...this.#histories];
    const all = Promise.all([
      ...Array.from({ length: clients }, () => this.#newClient(random)),
      ...before.map((history) => this.#comeBack(history, random)),
    ]);
    const over = new AbortController();
    void all.then(
      () => {
        over.abort();
      },
      () => {
        over.abort();
      },
    );
    const fails = faults && (await this.#fail(random, clients, over.signal));
    // While it fails nobody sees anything more.
    if (!fails) await this.#seen(this.#frames + random.below(clients * 30), over.signal);
    await this.#disk.cutPower();
    this.#disk.set(HEALTHY);
    await all;
  }

  /** The disk fails for as long as a few calls are refused, once or more often, while clients read. True: it still does. */
  async #fail(random: Random, clients: number, over: AbortSignal): Promise<boolean> {
    for (let times = 1 + random.below(2); times > 0; times -= 1) {
      await this.#seen(this.#frames + 1 + random.below(clients * 15), over);
      this.#failing = true;
      this.#disk.set(random.pick(Object.values(FAULTS)));
      await this.#disk.refused(1 + random.below(6), over);
      if (random.chance(0.3)) return true;
      this.#disk.set(HEALTHY);
    }
    return false;
  }

  /** Resolves when clients have seen so many frames since the start, or all of them have gone. */
  async #seen(frames: number, over: AbortSignal): Promise<void> {
    while (this.#frames < frames) {
      if (over.aborted) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  // ------------------------------------------------------------ clients

  async #newClient(random: Random): Promise<void> {
    const { url } = this.#disk;
    const scripted = { tokens: random.below(120), first_token_ms: 0, interval_ms: random.pick([0, 2, 10]) };
    if (random.chance(0.1)) return this.#tolerate(this.#inForeground(url, scripted));
    const cancelAt = random.chance(0.15) ? random.below(60) : undefined;
    const polls = random.chance(0.4);
    const others: Promise<void>[] = [];
    let history = new History('');
    let witness = history.witness();
    const end = await follow(`${url}/v1/responses`, post(request(scripted, { stream: true })), {
      onId: (id) => {
        history = new History(id);
        witness = history.witness();
        this.#histories.push(history);
        if (polls) others.push(this.#tolerate(this.#poll(url, history)));
      },
      onFrame: (frame) => {
        witness.frame(frame);
        this.#frames += 1;
        if (frame.data.sequence_number === cancelAt) others.push(this.#tolerate(this.#cancel(url, history)));
      },
    });
    if (end === 503) assert.ok(this.#failing, 'a create was refused on a disk that does not fail');
    else assert.ok(typeof end !== 'number', `a create was answered with ${String(end)}`);
    await Promise.all(others);
  }

  async #comeBack(history: History, random: Random): Promise<void> {
    const witness = history.witness();
    const after = random.below(history.cursor + 2) - 1;
    const end = await follow(streamUrl(this.#disk.url, history.id, after), undefined, {
      onFrame: (frame) => {
        witness.frame(frame);
        this.#frames += 1;
      },
    });
    if (end === 503) assert.ok(this.#failing, `${history.id} can not be read on a disk that does not fail`);
    else assert.ok(typeof end !== 'number', `${history.id} was acknowledged, and its stream is a ${String(end)}`);
  }

  async #inForeground(base: string, scripted: Record<string, number>): Promise<void> {
    const answer = await call(`${base}/v1/responses`, post(request(scripted, { background: false })));
    if (answer.status === 200) this.#foreground.push(JSON.parse(answer.body) as Response);
    else assert.ok(this.#failing && answer.status === 503, answer.body);
  }

  async #poll(base: string, history: History): Promise<void> {
    const witness = history.witness();
    for (let times = 0; times < 20; times += 1) {
      const { status, body } = await call(urlOf(base, history.id));
      if (status === 200) witness.snapshot(JSON.parse(body) as Response);
      else assert.ok(this.#failing && status === 503, body);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #cancel(base: string, history: History): Promise<void> {
    const { status, body } = await call(`${urlOf(base, history.id)}/cancel`, { method: 'POST' });
    if (status !== 200) {
      assert.ok(this.#failing && status === 503, body);
      return;
    }
    const answer = JSON.parse(body) as Response;
    if (answer.status === 'cancelled') history.cancelled = answer;
  }

  async #tolerate(client: Promise<void>): Promise<void> {
    await client.catch((error: unknown) => {
      if (!(error instanceof ServerGone)) throw error;
    });
  }

  // ------------------------------------------------------------ the end

  async settle(): Promise<Map<string, number>> {
    const { url } = this.#disk;
    const ends = new Map<string, number>();
    for (const history of this.#histories) {
      const { status } = await checkStreamed(url, history);
      ends.set(status, (ends.get(status) ?? 0) + 1);
    }
    for (const answered of this.#foreground) assert.deepEqual(await get(url, answered.id), answered);
    ends.set('foreground', this.#foreground.length);
    return ends;
  }
}
