import type { ResponseEvent } from '../protocol/events.ts';
import type { ContentPart, OutputItem, OutputMessage, OutputReasoning } from '../protocol/items.ts';
import type { Response } from '../protocol/response.ts';

/**
 * fold(events) -> Response: the one definition of what a log means. The assembler reads its own state from a fold of
 * what it emitted, so a snapshot can't disagree with the log. Events are never changed; the fold owns what it changes.
 */

/** What is still open of an item: `part` is the index of its open content part or summary part, -1 for none. */
export type OpenItem = { part: number; kind: 'content' | 'summary' };

export class BrokenLog extends Error {}

export class Fold {
  #response: Response | undefined;
  /** Also the number of events applied: they are dense from 0. */
  nextSequence = 0;
  ended = false;
  /** Items without their `done`, by output index. */
  readonly open = new Map<number, OpenItem>();
  /** Characters of output so far, over all items. */
  outputLength = 0;

  /** The Response as of the last event. Not to be changed, and not to be kept: a later event changes it. */
  get response(): Response {
    if (this.#response === undefined) throw new BrokenLog('the log has no response.created yet');
    return this.#response;
  }

  get started(): boolean {
    return this.#response !== undefined;
  }

  /** A fold that goes on from here on its own: nothing that grows is shared. */
  fork(): Fold {
    const forked = new Fold();
    forked.#response = { ...this.response, output: this.response.output.map(ownItem) };
    forked.nextSequence = this.nextSequence;
    forked.ended = this.ended;
    for (const [index, open] of this.open) forked.open.set(index, open);
    forked.outputLength = this.outputLength;
    return forked;
  }

  apply(event: ResponseEvent): void {
    if (event.sequence_number !== this.nextSequence) {
      throw new BrokenLog(`expected event ${this.nextSequence}, got ${event.sequence_number}`);
    }
    if (this.ended) throw new BrokenLog(`event ${event.sequence_number} follows the end`);
    this.nextSequence += 1;
    switch (event.type) {
      case 'response.output_text.delta': {
        const part = this.#part(event.output_index, event.content_index, 'output_text');
        part.text += event.delta;
        for (const logprob of event.logprobs) part.logprobs.push(logprob);
        this.outputLength += event.delta.length;
        return;
      }
      case 'response.reasoning_text.delta':
        this.#part(event.output_index, event.content_index, 'reasoning_text').text += event.delta;
        this.outputLength += event.delta.length;
        return;
      case 'response.refusal.delta':
        this.#part(event.output_index, event.content_index, 'refusal').refusal += event.delta;
        this.outputLength += event.delta.length;
        return;
      case 'response.reasoning_summary_text.delta':
        this.#summary(event.output_index, event.summary_index).text += event.delta;
        this.outputLength += event.delta.length;
        return;
      case 'response.function_call_arguments.delta':
        this.#item(event.output_index, 'function_call').arguments += event.delta;
        this.outputLength += event.delta.length;
        return;
      case 'response.custom_tool_call_input.delta':
        this.#item(event.output_index, 'custom_tool_call').input += event.delta;
        this.outputLength += event.delta.length;
        return;
      case 'response.output_text.annotation.added':
        this.#part(event.output_index, event.content_index, 'output_text').annotations.push(event.annotation);
        return;
      case 'response.created':
      case 'response.queued':
      case 'response.in_progress':
        this.#response = { ...event.response, output: [...event.response.output] };
        return;
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed':
        this.#response = event.response;
        this.open.clear();
        this.ended = true;
        return;
      case 'response.output_item.added':
        if (event.output_index !== this.response.output.length) throw new BrokenLog('output_index is not dense');
        this.response.output.push(ownItem(event.item));
        this.open.set(event.output_index, { part: -1, kind: 'content' });
        return;
      case 'response.output_item.done':
        this.response.output[event.output_index] = event.item;
        this.open.delete(event.output_index);
        return;
      case 'response.content_part.added': {
        const parts: ContentPart[] = this.#withContent(event.output_index).content;
        parts[event.content_index] = ownPart(event.part);
        this.open.set(event.output_index, { part: event.content_index, kind: 'content' });
        return;
      }
      case 'response.reasoning_summary_part.added':
        this.#item(event.output_index, 'reasoning').summary[event.summary_index] = { ...event.part };
        this.open.set(event.output_index, { part: event.summary_index, kind: 'summary' });
        return;
      case 'response.content_part.done':
      case 'response.reasoning_summary_part.done':
        this.open.set(event.output_index, { part: -1, kind: 'content' });
        return;
      case 'response.output_text.done':
      case 'response.refusal.done':
      case 'response.reasoning_text.done':
      case 'response.reasoning_summary_text.done':
      case 'response.function_call_arguments.done':
      case 'response.custom_tool_call_input.done':
        return;
    }
  }

  #item<T extends OutputItem['type']>(index: number, type: T): Extract<OutputItem, { type: T }> {
    const item = this.response.output[index];
    if (item?.type !== type) throw new BrokenLog(`item ${index} is not a ${type}`);
    return item as Extract<OutputItem, { type: T }>; // the check above is what TypeScript can't carry over
  }

  #withContent(index: number): OutputMessage | OutputReasoning {
    const item = this.response.output[index];
    if (item?.type !== 'message' && item?.type !== 'reasoning') throw new BrokenLog(`item ${index} has no content`);
    return item;
  }

  #part<T extends ContentPart['type']>(index: number, part: number, type: T): Extract<ContentPart, { type: T }> {
    const found = this.#withContent(index).content[part];
    if (found?.type !== type) throw new BrokenLog(`part ${index}.${part} is not a ${type}`);
    return found as Extract<ContentPart, { type: T }>; // as above
  }

  #summary(index: number, part: number): { text: string } {
    const found = this.#item(index, 'reasoning').summary[part];
    if (found === undefined) throw new BrokenLog(`summary ${index}.${part} is missing`);
    return found;
  }
}

/** A copy whose parts the fold may grow. */
function ownItem(item: OutputItem): OutputItem {
  switch (item.type) {
    case 'message':
      return { ...item, content: item.content.map(ownPart) };
    case 'reasoning':
      return { ...item, summary: item.summary.map((part) => ({ ...part })), content: item.content.map(ownPart) };
    case 'function_call':
    case 'custom_tool_call':
      return { ...item };
  }
}

function ownPart<T extends ContentPart>(part: T): T {
  return part.type === 'output_text'
    ? { ...part, annotations: [...part.annotations], logprobs: [...part.logprobs] }
    : { ...part };
}

export function fold(events: Iterable<ResponseEvent>): Fold {
  const folded = new Fold();
  for (const event of events) folded.apply(event);
  return folded;
}
