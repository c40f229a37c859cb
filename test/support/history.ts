import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { OutputItem } from '../../server/src/protocol/items.ts';
import type { Response } from '../../server/src/protocol/response.ts';
import type { Frame } from './sse.ts';

/**
 * One history (promise 2): what every client saw of a response, against its log at the end. The log is folded here
 * by rules of its own, so that the server's fold is judged, not repeated.
 */

const TERMINAL = new Set(['response.completed', 'response.failed', 'response.incomplete']);

export function isTerminal(frame: Frame | undefined): boolean {
  return frame !== undefined && TERMINAL.has(frame.event);
}

/** What one client saw, in its order. */
export class Witness {
  readonly seen: ({ frame: Frame } | { snapshot: Response })[] = [];

  frame(frame: Frame): void {
    this.seen.push({ frame });
  }

  snapshot(snapshot: Response): void {
    this.seen.push({ snapshot });
  }
}

export class History {
  readonly id: string;
  readonly witnesses: Witness[] = [];
  /** The answer of a cancel that said `cancelled`. */
  cancelled: Response | undefined;

  constructor(id: string) {
    this.id = id;
  }

  witness(): Witness {
    const witness = new Witness();
    this.witnesses.push(witness);
    return witness;
  }

  /** The greatest number that anybody has seen, -1 for none. */
  get cursor(): number {
    const numbers = this.witnesses.flatMap(({ seen }) =>
      seen.map((one) => ('frame' in one ? one.frame.data.sequence_number : -1)),
    );
    return Math.max(-1, ...numbers);
  }

  get ended(): boolean {
    return this.witnesses.some(({ seen }) => seen.some((one) => 'frame' in one && isTerminal(one.frame)));
  }

  /**
   * @param log the whole log at the end
   * @param final what a GET says at the end
   */
  check(log: readonly Frame[], final: Response): void {
    checkLog(log, this.id);
    const last = log.at(-1)?.data['response'] as Response | undefined;
    assert.deepEqual(final, last, `${this.id}: the final snapshot is not that of the terminal event`);
    const folded = new Folded();
    for (const frame of log) folded.apply(frame);
    assert.deepEqual(folded.built, final.output, `${this.id}: the final output is not what the events add up to`);
    for (const witness of this.witnesses) checkWitness(this.id, witness, log);
    if (this.cancelled !== undefined) {
      assert.deepEqual(final, this.cancelled, `${this.id}: a cancel that was acknowledged was undone`);
    }
  }
}

/** Numbers dense from 0, one `created`, first, one terminal event, last; every item closed. */
export function checkLog(log: readonly Frame[], id: string): void {
  for (const [index, frame] of log.entries()) {
    assert.equal(frame.data.sequence_number, index, `${id}: the numbers have a gap or a repetition at ${index}`);
    assert.equal(frame.data.type, frame.event);
  }
  const places = (wanted: (frame: Frame) => boolean): number[] =>
    log.flatMap((frame, index) => (wanted(frame) ? [index] : []));
  assert.deepEqual(
    places(({ event }) => event === 'response.created'),
    [0],
    `${id}: response.created is not once and first`,
  );
  assert.ok(places(({ event }) => event === 'response.in_progress').length <= 1, `${id}: began twice`);
  assert.deepEqual(places(isTerminal), [log.length - 1], `${id}: the terminal event is not once and last`);
  const indexes = (event: string): number[] =>
    log
      .filter((frame) => frame.event === event)
      .map(({ data }) => Number(data['output_index']))
      .toSorted((a, b) => a - b);
  const added = indexes('response.output_item.added');
  assert.deepEqual(indexes('response.output_item.done'), added, `${id}: an item was not closed once`);
}

/** Every frame is in the log, the same bytes; every poll shows a state of the log, and never an earlier one. */
function checkWitness(id: string, witness: Witness, log: readonly Frame[]): void {
  const folded = new Folded();
  let known = -1;
  const goOn = (): void => {
    const next = log[folded.count];
    if (next !== undefined) folded.apply(next);
  };
  for (const one of witness.seen) {
    if ('frame' in one) {
      const number = one.frame.data.sequence_number;
      assert.equal(log[number]?.text, one.frame.text, `${id}: event ${number} is not what a client saw`);
      known = Math.max(known, number);
      continue;
    }
    while (folded.count <= Math.max(known, 0)) goOn();
    while (!folded.shows(one.snapshot)) {
      if (folded.count === log.length) assert.fail(describePoll(id, known, one.snapshot, log));
      goOn();
    }
    known = Math.max(known, folded.count - 1);
  }
}

function describePoll(id: string, known: number, polled: Response, log: readonly Frame[]): string {
  const { status, output } = polled;
  return `${id}: a poll showed what the log does not say after event ${known}: ${JSON.stringify({ status, output })}
the log: ${log.map(({ data }) => `${data.sequence_number} ${data.type}`).join(', ')}`;
}

/** A Response as events add up to it. */
class Folded {
  count = 0;
  #response: Response | undefined;
  /** Output by its own events alone, whatever the terminal event says. */
  built: OutputItem[] = [];
  #length = 0;

  /** Cheap things first: this is asked for every state of a log. */
  shows(polled: Response): boolean {
    const now = this.#response;
    if (now === undefined || polled.status !== now.status || lengthOf(polled.output) !== this.#length) return false;
    return isDeepStrictEqual(polled, { ...now, output: this.built });
  }

  apply({ event, data }: Frame): void {
    this.count += 1;
    if (data['response'] !== undefined) {
      this.#response = data['response'] as Response;
      return;
    }
    // oxlint-disable-next-line typescript/no-explicit-any -- items are data here, of whatever kind
    const item = this.built[Number(data['output_index'])] as any;
    const part = item?.content?.[Number(data['content_index'])];
    switch (event) {
      case 'response.output_item.added':
      case 'response.output_item.done':
        this.built[Number(data['output_index'])] = structuredClone(data['item']) as OutputItem;
        break;
      case 'response.content_part.added':
        item.content.push(structuredClone(data['part']));
        break;
      case 'response.output_text.delta':
      case 'response.reasoning_text.delta':
        part.text += data['delta'];
        break;
      case 'response.function_call_arguments.delta':
        item.arguments += data['delta'];
        break;
      case 'response.custom_tool_call_input.delta':
        item.input += data['delta'];
        break;
      case 'response.content_part.done':
        assert.deepEqual(data['part'], part);
        break;
      case 'response.output_text.done':
      case 'response.reasoning_text.done':
        assert.equal(data['text'], part.text);
        break;
      case 'response.function_call_arguments.done':
        assert.equal(data['arguments'], item.arguments);
        break;
      case 'response.custom_tool_call_input.done':
        assert.equal(data['input'], item.input);
        break;
      default:
        assert.fail(`no rule for ${event}`);
    }
    this.#length = lengthOf(this.built);
  }
}

/** Characters of output. */
function lengthOf(output: readonly OutputItem[]): number {
  let length = 0;
  for (const item of output) {
    if (item.type === 'function_call') length += item.arguments.length;
    else if (item.type === 'custom_tool_call') length += item.input.length;
    else for (const part of item.content) length += part.type === 'refusal' ? part.refusal.length : part.text.length;
  }
  return length;
}
