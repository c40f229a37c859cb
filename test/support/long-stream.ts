import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

/** A stream of hundreds of megabytes, of which only sums are kept. */

export type LongStream = {
  id: string;
  /** sequence_number of the first and of the last event. */
  first: number;
  last: number;
  /** Type of the last event. */
  end: string;
  /** Of all frames, comments left out. */
  hash: string;
  /** Of those after `mark`. */
  hashAfterMark: string;
  /** Text of the deltas, characters. */
  length: number;
  /** ms of the monotonic clock when the first event, the one at `mark` and the last came in. */
  times: { first: number; mark: number; last: number };
};

type Options = {
  /** A sequence_number somewhere in the middle. */
  mark: number;
  /** Characters that the deltas say, one each, again and again. */
  pattern?: string;
  /** Called once, when the event at `mark` is there. */
  onMark?: (id: string) => void;
};

/** Reads to the clean end. Fails at a gap in the numbers, and at a delta that is not what the pattern says. */
export async function readLongStream(url: string, init: RequestInit, options: Options): Promise<LongStream> {
  const answer = await fetch(url, init);
  assert.ok(answer.status === 200 && answer.body !== null, `${answer.status}`);
  const seen = new Sums(answer.headers.get('x-response-id') ?? '', options);
  const decoder = new TextDecoder();
  // The last events are as long as all the text: their pieces are joined once.
  let pieces: string[] = [];
  let before = '';
  for await (const bytes of answer.body) {
    const piece = decoder.decode(bytes, { stream: true });
    pieces.push(piece);
    const ends = (before + piece).includes('\n\n');
    before = piece.slice(-1);
    if (!ends) continue;
    const text = pieces.join('');
    const end = text.lastIndexOf('\n\n') + 2;
    for (const frame of text.slice(0, end - 2).split('\n\n')) seen.add(frame);
    pieces = [text.slice(end)];
  }
  assert.equal(pieces.join(''), '', 'the stream ended inside an event');
  return seen.finish();
}

class Sums {
  readonly #id: string;
  readonly #options: Options;
  readonly #all = createHash('sha256');
  readonly #after = createHash('sha256');
  readonly #times = { first: 0, mark: 0, last: 0 };
  #first = -1;
  #last = -1;
  #end = '';
  #length = 0;

  constructor(id: string, options: Options) {
    this.#id = id;
    this.#options = options;
  }

  add(frame: string): void {
    if (frame.startsWith(':')) return;
    const [, type = '', sequence] = /^event: (\S+)\ndata: \{"type":"[^"]+","sequence_number":(\d+)/.exec(frame) ?? [];
    const number = Number(sequence);
    if (this.#first === -1) {
      this.#first = number;
      this.#times.first = performance.now();
    } else if (number !== this.#last + 1) {
      assert.fail(`${number} follows ${this.#last}: ${frame.slice(0, 200)}`);
    }
    this.#last = number;
    this.#end = type;
    this.#all.update(frame);
    if (number > this.#options.mark) this.#after.update(frame);
    if (type.endsWith('.delta')) this.#delta(frame);
    if (number !== this.#options.mark) return;
    this.#times.mark = performance.now();
    this.#options.onMark?.(this.#id);
  }

  #delta(frame: string): void {
    const { delta } = JSON.parse(frame.slice(frame.indexOf('\ndata: ') + 7)) as { delta: string };
    const { pattern } = this.#options;
    // Where a resumed text begins in the pattern, nobody told.
    if (pattern !== undefined && this.#first === 0) {
      const wanted = pattern[this.#length % pattern.length];
      if (delta !== wanted) assert.fail(`character ${this.#length} is ${delta}`);
    }
    this.#length += delta.length;
  }

  finish(): LongStream {
    this.#times.last = performance.now();
    return {
      id: this.#id,
      first: this.#first,
      last: this.#last,
      end: this.#end,
      hash: this.#all.digest('hex'),
      hashAfterMark: this.#after.digest('hex'),
      length: this.#length,
      times: this.#times,
    };
  }
}
