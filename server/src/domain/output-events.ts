import type { ResponseEvent } from '../protocol/events.ts';
import type { ContentPart, OutputItem, OutputReasoning, OutputToolCall } from '../protocol/items.ts';
import { emptyPart, partText } from './chunk-references.ts';
import type { Fold } from './fold.ts';
import { JsonProgress } from './json-progress.ts';
import type { Ids } from './ports.ts';
import { isToolCall } from './tools.ts';
import type { UpstreamEvent } from './upstream-event.ts';

/**
 * The events that open, fill and close items and parts, numbered and in the order that the clients insist on
 * (contract.md §3.2). Keeps no state of its own about output: it reads the fold of what it emitted. How far the
 * arguments of open calls are follows from it, and is kept only since to look again would cost too much.
 */

/** An item is closed `incomplete` when the run ended before it did. */
export type Closing = 'completed' | 'incomplete';

type Called = Pick<Extract<UpstreamEvent, { type: 'tool_call' }>, 'kind' | 'namespace'>;

export class OutputEvents {
  readonly fold: Fold;
  readonly #ids: Ids;
  readonly #sealReasoning: ((item: OutputReasoning) => string) | undefined;
  readonly #progress = new Map<number, JsonProgress>();
  /** Open calls whose arguments may be whole, since their last delta. */
  readonly #maybeWhole = new Set<number>();
  #emitted: ResponseEvent[] = [];

  constructor(fold: Fold, ids: Ids, sealReasoning?: (item: OutputReasoning) => string) {
    this.fold = fold;
    this.#ids = ids;
    this.#sealReasoning = sealReasoning;
    for (const index of fold.open.keys()) this.#follow(index, this.#argumentsOf(index));
  }

  /** The events since the last call. */
  take(): ResponseEvent[] {
    const emitted = this.#emitted;
    this.#emitted = [];
    return emitted;
  }

  /** The number of the next event. */
  get next(): number {
    return this.fold.nextSequence;
  }

  emit(event: ResponseEvent): void {
    this.fold.apply(event);
    this.#emitted.push(event);
  }

  /** More of the arguments of a function call, or of the input of a custom one. */
  callDelta(index: number, delta: string): void {
    const custom = this.fold.response.output[index]?.type === 'custom_tool_call';
    this.emit({
      type: custom ? 'response.custom_tool_call_input.delta' : 'response.function_call_arguments.delta',
      sequence_number: this.next,
      item_id: this.itemId(index),
      output_index: index,
      delta,
    });
    if (!custom) this.#follow(index, delta);
  }

  #follow(index: number, delta: string): void {
    const progress = this.#progress.get(index) ?? new JsonProgress();
    this.#progress.set(index, progress);
    progress.feed(delta);
    if (progress.mayBeWhole) this.#maybeWhole.add(index);
    else this.#maybeWhole.delete(index);
  }

  #argumentsOf(index: number): string {
    const item = this.fold.response.output[index];
    return item?.type === 'function_call' ? item.arguments : '';
  }

  // ------------------------------------------------------------ opening

  /** The index of a message with an open part of this type, both opened if need be. */
  messageWith(type: 'output_text' | 'refusal'): number {
    let index = this.lastIndex();
    if (!this.isOpen('message')) {
      this.closeComplete();
      index = this.#addItem({
        id: this.#ids.item('msg'),
        type: 'message',
        status: 'in_progress',
        role: 'assistant',
        content: [],
      });
    }
    const item = this.fold.response.output[index];
    const open = this.openPart(index);
    const current = item?.type === 'message' ? item.content[open] : undefined;
    if (current?.type !== type) {
      this.closePart(index);
      this.#addPart(index, item?.type === 'message' ? item.content.length : 0, emptyPart(type));
    }
    return index;
  }

  /** The index of a new call. Without an id of the upstream's it gets one. */
  openCall({ kind, namespace }: Called, callId: string | undefined, name: string): number {
    const id = this.#ids.item(kind === 'custom' ? 'ctc' : 'fc');
    const called = {
      call_id: callId || this.#ids.item('call'),
      ...(namespace !== undefined && { namespace }),
      name,
    };
    return this.#addItem(
      kind === 'custom'
        ? { id, type: 'custom_tool_call', status: 'in_progress', ...called, input: '' }
        : { id, type: 'function_call', status: 'in_progress', ...called, arguments: '' },
    );
  }

  /** The index of a new reasoning item, without a part. */
  openReasoning(): number {
    this.closeComplete();
    return this.#addItem({
      id: this.#ids.item('rs'),
      type: 'reasoning',
      status: 'in_progress',
      summary: [],
      content: [],
    });
  }

  /** A new part of content, or of the summary. */
  addReasoningPart(index: number, kind: 'text' | 'summary'): void {
    const item = this.fold.response.output[index];
    if (item?.type !== 'reasoning') return;
    if (kind === 'text') {
      this.#addPart(index, item.content.length, emptyPart('reasoning_text'));
      return;
    }
    this.emit({
      type: 'response.reasoning_summary_part.added',
      sequence_number: this.next,
      item_id: item.id,
      output_index: index,
      summary_index: item.summary.length,
      part: { type: 'summary_text', text: '' },
    });
  }

  #addItem(item: OutputItem): number {
    const index = this.fold.response.output.length;
    this.emit({
      type: 'response.output_item.added',
      sequence_number: this.next,
      output_index: index,
      item,
    });
    return index;
  }

  #addPart(index: number, part: number, content: ContentPart): void {
    this.emit({
      type: 'response.content_part.added',
      sequence_number: this.next,
      item_id: this.itemId(index),
      output_index: index,
      content_index: part,
      part: content,
    });
  }

  // ------------------------------------------------------------ closing

  /**
   * A new item closes what isn't a call, and calls that are complete: a parallel one may still be filled. Of a custom
   * tool's input nobody can tell whether it is.
   */
  closeComplete(): void {
    for (const index of [...this.#maybeWhole].sort((a, b) => a - b)) {
      this.#maybeWhole.delete(index);
      if (this.#progress.get(index)?.isWhole(() => this.#argumentsOf(index)) === true)
        this.closeItem(index, 'completed');
    }
    // Whatever was opened after something else closed it: only the last can be open.
    const index = this.lastIndex();
    if (this.fold.open.has(index) && !this.lastIsToolCall()) this.closeItem(index, 'completed');
  }

  /** Closes an item with what is open in it. */
  closeItem(index: number, status: Closing): void {
    this.closePart(index);
    const item = this.fold.response.output[index];
    if (item === undefined) return;
    if (isToolCall(item)) this.#closeCall(index, item, status);
    this.#progress.delete(index);
    this.#maybeWhole.delete(index);
    this.emit({
      type: 'response.output_item.done',
      sequence_number: this.next,
      output_index: index,
      item: { ...item, status, ...this.#sealed(item) },
    });
  }

  #sealed(item: OutputItem): Pick<OutputReasoning, 'encrypted_content'> {
    if (item.type !== 'reasoning' || this.#sealReasoning === undefined) return {};
    return { encrypted_content: this.#sealReasoning(item) };
  }

  #closeCall(index: number, item: OutputToolCall, status: Closing): void {
    // A function call without arguments is a call with none: clients parse what they get.
    if (item.type === 'function_call' && item.arguments === '' && status === 'completed') this.callDelta(index, '{}');
    const at = { sequence_number: this.next, item_id: item.id, output_index: index };
    this.emit(
      item.type === 'function_call'
        ? { type: 'response.function_call_arguments.done', ...at, name: item.name, arguments: item.arguments }
        : { type: 'response.custom_tool_call_input.done', ...at, input: item.input },
    );
  }

  /** Closes the open part of an item, if there is one. */
  closePart(index: number): void {
    const open = this.fold.open.get(index);
    const item = this.fold.response.output[index];
    if (open === undefined || open.part === -1 || item === undefined || isToolCall(item)) return;
    const place = { item_id: item.id, output_index: index };
    if (open.kind === 'summary') {
      const part = item.type === 'reasoning' ? item.summary[open.part] : undefined;
      if (part === undefined) return;
      const at = { ...place, summary_index: open.part };
      this.emit({ type: 'response.reasoning_summary_text.done', sequence_number: this.next, ...at, text: part.text });
      this.emit({
        type: 'response.reasoning_summary_part.done',
        sequence_number: this.next,
        ...at,
        part: { ...part },
      });
      return;
    }
    const part = item.content[open.part];
    if (part === undefined) return;
    const at = { ...place, content_index: open.part };
    this.emit(partText(part, { sequence_number: this.next, ...at }));
    this.emit({ type: 'response.content_part.done', sequence_number: this.next, ...at, part: { ...part } });
  }

  // ------------------------------------------------------------ looking

  /** In the order in which they were opened. */
  openIndexes(): number[] {
    return [...this.fold.open.keys()].sort((a, b) => a - b);
  }

  lastIndex(): number {
    return this.fold.response.output.length - 1;
  }

  #last(): OutputItem | undefined {
    return this.fold.response.output[this.lastIndex()];
  }

  lastIsToolCall(): boolean {
    const last = this.#last();
    return last !== undefined && isToolCall(last);
  }

  /** Whether the last item is of this type, and open. */
  isOpen(type: OutputItem['type']): boolean {
    return this.#last()?.type === type && this.fold.open.has(this.lastIndex());
  }

  /** The index of the open part of an item; -1 when there is none. */
  openPart(index: number): number {
    return this.fold.open.get(index)?.part ?? -1;
  }

  itemId(index: number): string {
    return this.fold.response.output[index]?.id ?? '';
  }
}
