import type { ResponseEvent } from '../protocol/events.ts';
import type { ContentPart, OutputItem, OutputReasoning, OutputTextPart, OutputToolCall } from '../protocol/items.ts';
import type { Response, ResponseErrorCode, Usage } from '../protocol/response.ts';
import { emptyPart, partText } from './chunk-references.ts';
import type { Fold } from './fold.ts';
import { canBecome, terminalEventType } from './status.ts';
import type { EndStatus } from './status.ts';
import type { Clock, Ids } from './ports.ts';
import { isToolCall } from './tools.ts';
import type { FinishReason, UpstreamEvent, UpstreamUsage } from './upstream-event.ts';

/**
 * Neutral upstream events -> Responses events (upstream.md §2). Owns item ids, output_index, content_index, the order
 * of the closing events and the one terminal event. Keeps no state of its own about output: it reads the fold of what
 * it emitted, so one made over the fold of a log goes on, or ends, where that log stopped.
 */

type ToolCallEvent = Extract<UpstreamEvent, { type: 'tool_call' }>;
type ToolCall = { index: number; callId: string | undefined; name: string | undefined; held: string };

/** An item is closed `incomplete` when the run ended before it did. */
type Closing = 'completed' | 'incomplete';

export class Assembler {
  readonly #fold: Fold;
  readonly #ids: Ids;
  readonly #clock: Clock;
  readonly #sealReasoning: ((item: OutputReasoning) => string) | undefined;
  #emitted: ResponseEvent[] = [];
  #calls = new Map<string, ToolCall>();
  #usage: Usage | null = null;
  #serviceTier = 'default';
  #finish: FinishReason | undefined;
  /** Whitespace after a tool call, shown only if text follows it (upstream.md §2c.9). */
  #heldWhitespace = '';

  /** @param sealReasoning makes the `encrypted_content` of a reasoning item that is done; none without it */
  constructor(fold: Fold, ids: Ids, clock: Clock, sealReasoning?: (item: OutputReasoning) => string) {
    this.#fold = fold;
    this.#ids = ids;
    this.#clock = clock;
    this.#sealReasoning = sealReasoning;
  }

  /** The events since the last call, numbered. */
  take(): ResponseEvent[] {
    const emitted = this.#emitted;
    this.#emitted = [];
    return emitted;
  }

  get ended(): boolean {
    return this.#fold.ended;
  }

  get response(): Response {
    return this.#fold.response;
  }

  /** Once true, a failed upstream call can't be tried again in silence. */
  get hasOutput(): boolean {
    return this.#fold.response.output.length > 0;
  }

  /** `response.created` with the given snapshot, then `queued` for a background response, then `in_progress`. */
  begin(response: Response, running: boolean): void {
    this.#emit({ type: 'response.created', sequence_number: this.#next, response });
    if (response.background) {
      this.#emit({ type: 'response.queued', sequence_number: this.#next, response });
    }
    if (running) {
      this.#emit({
        type: 'response.in_progress',
        sequence_number: this.#next,
        response: { ...response, status: 'in_progress' },
      });
    }
  }

  push(event: UpstreamEvent): void {
    if (this.#fold.ended) return;
    switch (event.type) {
      case 'text':
        this.#text(event.delta, event.logprobs);
        return;
      case 'reasoning':
        this.#reasoning(event.delta, event.kind);
        return;
      case 'refusal':
        if (event.delta !== '') this.#refusal(event.delta);
        return;
      case 'tool_call':
        this.#toolCall(event);
        return;
      case 'annotation':
        this.#annotation(event.annotation);
        return;
      case 'usage':
        this.#usage = toUsage(event);
        return;
      case 'finish':
        this.#finish = event.reason;
        return;
      case 'error':
        this.fail(event.code, event.message);
        return;
      case 'meta':
        this.#serviceTier = event.serviceTier ?? this.#serviceTier;
        return;
      case 'alive':
        return;
    }
  }

  /** The upstream is done: closes what is open and ends the response as its finish reason says. */
  finish(): void {
    if (this.#fold.ended) return;
    const nameless = [...this.#calls.values()].some((call) => call.index === -1);
    if (this.#finish === undefined) {
      this.fail('server_error', 'The upstream ended without a finish reason.');
    } else if (this.#finish === 'length') {
      this.#end('incomplete', { incomplete_details: { reason: 'max_output_tokens' } });
    } else if (this.#finish === 'content_filter') {
      this.#end('incomplete', { incomplete_details: { reason: 'content_filter' } });
    } else if (nameless) {
      this.fail('server_error', 'The upstream called a tool without naming it.');
    } else {
      this.#end('completed', { completed_at: Math.floor(this.#clock.now() / 1000) });
    }
  }

  fail(code: ResponseErrorCode, message: string): void {
    if (!this.#fold.ended) this.#end('failed', { error: { code, message } });
  }

  /** What was produced stays, its items `incomplete` (contract.md §8). */
  cancel(): void {
    if (this.#fold.ended) return;
    this.#usage = null;
    this.#end('cancelled', {});
  }

  get #next(): number {
    return this.#fold.nextSequence;
  }

  #emit(event: ResponseEvent): void {
    this.#fold.apply(event);
    this.#emitted.push(event);
  }

  // ------------------------------------------------------------ deltas

  #text(delta: string, logprobs: OutputTextPart['logprobs'] = []): void {
    if (delta === '') return;
    let text = delta;
    if (this.#fold.open.size === 0 || !this.#isOpen('message')) {
      if (this.#lastIsToolCall()) {
        if (delta.trim() === '') {
          this.#heldWhitespace += delta;
          return;
        }
        text = this.#heldWhitespace + delta;
      }
      this.#heldWhitespace = '';
    }
    const index = this.#messageWith('output_text');
    this.#emit({
      type: 'response.output_text.delta',
      sequence_number: this.#next,
      item_id: this.#itemId(index),
      output_index: index,
      content_index: this.#openPart(index),
      delta: text,
      logprobs,
    });
  }

  #refusal(delta: string): void {
    const index = this.#messageWith('refusal');
    this.#emit({
      type: 'response.refusal.delta',
      sequence_number: this.#next,
      item_id: this.#itemId(index),
      output_index: index,
      content_index: this.#openPart(index),
      delta,
    });
  }

  #reasoning(delta: string, kind: 'text' | 'summary'): void {
    if (delta === '') return;
    const index = this.#isOpen('reasoning') ? this.#lastIndex() : this.#openReasoning();
    const open = this.#fold.open.get(index);
    const wanted = kind === 'text' ? 'content' : 'summary';
    if (open === undefined || open.part === -1 || open.kind !== wanted) {
      this.#closePart(index);
      this.#addReasoningPart(index, kind);
    }
    const place = { sequence_number: this.#next, item_id: this.#itemId(index), output_index: index };
    const part = this.#openPart(index);
    this.#emit(
      kind === 'text'
        ? { type: 'response.reasoning_text.delta', ...place, content_index: part, delta }
        : { type: 'response.reasoning_summary_text.delta', ...place, summary_index: part, delta },
    );
  }

  #annotation(annotation: OutputTextPart['annotations'][number]): void {
    if (!this.#isOpen('message')) return;
    const index = this.#lastIndex();
    const part = this.#openPart(index);
    const item = this.response.output[index];
    const open = item?.type === 'message' ? item.content[part] : undefined;
    if (open?.type !== 'output_text') return;
    this.#emit({
      type: 'response.output_text.annotation.added',
      sequence_number: this.#next,
      item_id: this.#itemId(index),
      output_index: index,
      content_index: part,
      annotation_index: open.annotations.length,
      annotation,
    });
  }

  #toolCall(event: ToolCallEvent): void {
    const call = this.#calls.get(event.key) ?? { index: -1, callId: undefined, name: undefined, held: '' };
    this.#calls.set(event.key, call);
    call.callId ??= event.callId;
    call.name ??= event.name;
    call.held += event.arguments ?? '';
    if (call.index === -1) {
      if (call.name === undefined || call.name === '') {
        call.name = undefined;
        return;
      }
      this.#heldWhitespace = '';
      this.#closeComplete();
      call.index = this.#openCall(event, call.callId, call.name);
    }
    if (call.held === '' || !this.#fold.open.has(call.index)) return; // a delta for a closed call is a repetition
    const delta = call.held;
    call.held = '';
    this.#callDelta(call.index, delta);
  }

  #callDelta(index: number, delta: string): void {
    const custom = this.response.output[index]?.type === 'custom_tool_call';
    this.#emit({
      type: custom ? 'response.custom_tool_call_input.delta' : 'response.function_call_arguments.delta',
      sequence_number: this.#next,
      item_id: this.#itemId(index),
      output_index: index,
      delta,
    });
  }

  // ------------------------------------------------------------ opening

  #messageWith(type: 'output_text' | 'refusal'): number {
    let index = this.#lastIndex();
    if (!this.#isOpen('message')) {
      this.#closeComplete();
      index = this.#addItem({
        id: this.#ids.item('msg'),
        type: 'message',
        status: 'in_progress',
        role: 'assistant',
        content: [],
      });
    }
    const item = this.response.output[index];
    const open = this.#openPart(index);
    const current = item?.type === 'message' ? item.content[open] : undefined;
    if (current?.type !== type) {
      this.#closePart(index);
      this.#addPart(index, item?.type === 'message' ? item.content.length : 0, emptyPart(type));
    }
    return index;
  }

  #openCall({ kind, namespace }: ToolCallEvent, callId: string | undefined, name: string): number {
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

  #openReasoning(): number {
    this.#closeComplete();
    return this.#addItem({
      id: this.#ids.item('rs'),
      type: 'reasoning',
      status: 'in_progress',
      summary: [],
      content: [],
    });
  }

  #addReasoningPart(index: number, kind: 'text' | 'summary'): void {
    const item = this.response.output[index];
    if (item?.type !== 'reasoning') return;
    if (kind === 'text') {
      this.#addPart(index, item.content.length, emptyPart('reasoning_text'));
      return;
    }
    this.#emit({
      type: 'response.reasoning_summary_part.added',
      sequence_number: this.#next,
      item_id: item.id,
      output_index: index,
      summary_index: item.summary.length,
      part: { type: 'summary_text', text: '' },
    });
  }

  #addItem(item: OutputItem): number {
    const index = this.response.output.length;
    this.#emit({
      type: 'response.output_item.added',
      sequence_number: this.#next,
      output_index: index,
      item,
    });
    return index;
  }

  #addPart(index: number, part: number, content: ContentPart): void {
    this.#emit({
      type: 'response.content_part.added',
      sequence_number: this.#next,
      item_id: this.#itemId(index),
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
  #closeComplete(): void {
    for (const index of this.#openIndexes()) {
      const item = this.response.output[index];
      if (item?.type === 'custom_tool_call') continue;
      if (item?.type !== 'function_call' || isCompleteJson(item.arguments)) this.#closeItem(index, 'completed');
    }
  }

  #closeItem(index: number, status: Closing): void {
    this.#closePart(index);
    const item = this.response.output[index];
    if (item === undefined) return;
    if (isToolCall(item)) this.#closeCall(index, item, status);
    this.#emit({
      type: 'response.output_item.done',
      sequence_number: this.#next,
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
    if (item.type === 'function_call' && item.arguments === '' && status === 'completed') this.#callDelta(index, '{}');
    const at = { sequence_number: this.#next, item_id: item.id, output_index: index };
    this.#emit(
      item.type === 'function_call'
        ? { type: 'response.function_call_arguments.done', ...at, name: item.name, arguments: item.arguments }
        : { type: 'response.custom_tool_call_input.done', ...at, input: item.input },
    );
  }

  #closePart(index: number): void {
    const open = this.#fold.open.get(index);
    const item = this.response.output[index];
    if (open === undefined || open.part === -1 || item === undefined || isToolCall(item)) return;
    const place = { item_id: item.id, output_index: index };
    if (open.kind === 'summary') {
      const part = item.type === 'reasoning' ? item.summary[open.part] : undefined;
      if (part === undefined) return;
      const at = { ...place, summary_index: open.part };
      this.#emit({ type: 'response.reasoning_summary_text.done', sequence_number: this.#next, ...at, text: part.text });
      this.#emit({
        type: 'response.reasoning_summary_part.done',
        sequence_number: this.#next,
        ...at,
        part: { ...part },
      });
      return;
    }
    const part = item.content[open.part];
    if (part === undefined) return;
    const at = { ...place, content_index: open.part };
    this.#emit(partText(part, { sequence_number: this.#next, ...at }));
    this.#emit({ type: 'response.content_part.done', sequence_number: this.#next, ...at, part: { ...part } });
  }

  #end(status: EndStatus, fields: Partial<Response>): void {
    if (!canBecome(this.response.status, status)) {
      throw new Error(`a response that is ${this.response.status} can't become ${status}`);
    }
    const closing: Closing = status === 'completed' ? 'completed' : 'incomplete';
    for (const index of this.#openIndexes()) this.#closeItem(index, closing);
    this.#emit({
      type: terminalEventType(status),
      sequence_number: this.#next,
      response: { ...this.response, status, service_tier: this.#serviceTier, usage: this.#usage, ...fields },
    });
  }

  // ------------------------------------------------------------ looking

  #openIndexes(): number[] {
    return [...this.#fold.open.keys()].sort((a, b) => a - b);
  }

  #lastIndex(): number {
    return this.response.output.length - 1;
  }

  #last(): OutputItem | undefined {
    return this.response.output[this.#lastIndex()];
  }

  #lastIsToolCall(): boolean {
    const last = this.#last();
    return last !== undefined && isToolCall(last);
  }

  #isOpen(type: OutputItem['type']): boolean {
    return this.#last()?.type === type && this.#fold.open.has(this.#lastIndex());
  }

  #openPart(index: number): number {
    return this.#fold.open.get(index)?.part ?? -1;
  }

  #itemId(index: number): string {
    return this.response.output[index]?.id ?? '';
  }
}

function isCompleteJson(text: string): boolean {
  if (text === '') return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function toUsage(usage: UpstreamUsage): Usage {
  return {
    input_tokens: usage.inputTokens,
    input_tokens_details: {
      cached_tokens: usage.cachedTokens ?? 0,
      cache_write_tokens: usage.cacheWriteTokens ?? 0,
    },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens ?? 0 },
    total_tokens: usage.inputTokens + usage.outputTokens,
  };
}
