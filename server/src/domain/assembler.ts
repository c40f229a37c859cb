import type { ResponseEvent } from '../protocol/events.ts';
import type { OutputReasoning, OutputTextPart } from '../protocol/items.ts';
import type { Response, ResponseErrorCode, Usage } from '../protocol/response.ts';
import type { Fold } from './fold.ts';
import { OutputEvents } from './output-events.ts';
import type { Closing } from './output-events.ts';
import { canBecome, terminalEventType } from './status.ts';
import type { EndStatus } from './status.ts';
import type { Clock, Ids } from './ports.ts';
import type { FinishReason, UpstreamEvent, UpstreamUsage } from './upstream-event.ts';

/**
 * Neutral upstream events -> Responses events (upstream.md §2). Owns item ids, output_index, content_index, the order
 * of the closing events and the one terminal event. Keeps no state of its own about output: it reads the fold of what
 * it emitted, so one made over the fold of a log goes on, or ends, where that log stopped.
 */

type ToolCallEvent = Extract<UpstreamEvent, { type: 'tool_call' }>;
type ToolCall = { index: number; callId: string | undefined; name: string | undefined; held: string };

export class Assembler {
  readonly #output: OutputEvents;
  readonly #clock: Clock;
  #calls = new Map<string, ToolCall>();
  #usage: Usage | null = null;
  #serviceTier = 'default';
  #finish: FinishReason | undefined;
  /** What earlier runs of the response left. */
  readonly #before: { items: number; length: number };
  /** Whitespace after a tool call, shown only if text follows it (upstream.md §2c.9). */
  #heldWhitespace = '';

  /** @param sealReasoning makes the `encrypted_content` of a reasoning item that is done; none without it */
  constructor(fold: Fold, ids: Ids, clock: Clock, sealReasoning?: (item: OutputReasoning) => string) {
    this.#output = new OutputEvents(fold, ids, sealReasoning);
    this.#clock = clock;
    this.#before = { items: fold.started ? fold.response.output.length : 0, length: fold.outputLength };
  }

  /** The events since the last call, numbered. */
  take(): ResponseEvent[] {
    return this.#output.take();
  }

  get ended(): boolean {
    return this.#output.fold.ended;
  }

  get response(): Response {
    return this.#output.fold.response;
  }

  /** Output of this run. Once true, a failed upstream call can't be tried again in silence. */
  get hasOutput(): boolean {
    const { response, outputLength } = this.#output.fold;
    return response.output.length > this.#before.items || outputLength > this.#before.length;
  }

  /** Characters of output of all runs. */
  get outputLength(): number {
    return this.#output.fold.outputLength;
  }

  /** `response.created` with the given snapshot, then `queued` for a background response, then `in_progress`. */
  begin(response: Response, running: boolean): void {
    this.#output.emit({ type: 'response.created', sequence_number: this.#output.next, response });
    if (response.background) {
      this.#output.emit({ type: 'response.queued', sequence_number: this.#output.next, response });
    }
    if (running) {
      this.#output.emit({
        type: 'response.in_progress',
        sequence_number: this.#output.next,
        response: { ...response, status: 'in_progress' },
      });
    }
  }

  push(event: UpstreamEvent): void {
    if (this.#output.fold.ended) return;
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
    if (this.#output.fold.ended) return;
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

  /** Closes what an earlier run left open: what follows goes into new items. */
  closeInterrupted(): void {
    for (const index of this.#output.openIndexes()) this.#output.closeItem(index, 'incomplete');
  }

  fail(code: ResponseErrorCode, message: string): void {
    if (!this.#output.fold.ended) this.#end('failed', { error: { code, message } });
  }

  /** What was produced stays, its items `incomplete` (contract.md §8). */
  cancel(): void {
    if (this.#output.fold.ended) return;
    this.#usage = null;
    this.#end('cancelled', {});
  }

  // ------------------------------------------------------------ deltas

  #text(delta: string, logprobs: OutputTextPart['logprobs'] = []): void {
    if (delta === '') return;
    let text = delta;
    if (this.#output.fold.open.size === 0 || !this.#output.isOpen('message')) {
      if (this.#output.lastIsToolCall()) {
        if (delta.trim() === '') {
          this.#heldWhitespace += delta;
          return;
        }
        text = this.#heldWhitespace + delta;
      }
      this.#heldWhitespace = '';
    }
    const index = this.#output.messageWith('output_text');
    this.#output.emit({
      type: 'response.output_text.delta',
      sequence_number: this.#output.next,
      item_id: this.#output.itemId(index),
      output_index: index,
      content_index: this.#output.openPart(index),
      delta: text,
      logprobs,
    });
  }

  #refusal(delta: string): void {
    const index = this.#output.messageWith('refusal');
    this.#output.emit({
      type: 'response.refusal.delta',
      sequence_number: this.#output.next,
      item_id: this.#output.itemId(index),
      output_index: index,
      content_index: this.#output.openPart(index),
      delta,
    });
  }

  #reasoning(delta: string, kind: 'text' | 'summary'): void {
    if (delta === '') return;
    const index = this.#output.isOpen('reasoning') ? this.#output.lastIndex() : this.#output.openReasoning();
    const open = this.#output.fold.open.get(index);
    const wanted = kind === 'text' ? 'content' : 'summary';
    if (open === undefined || open.part === -1 || open.kind !== wanted) {
      this.#output.closePart(index);
      this.#output.addReasoningPart(index, kind);
    }
    const place = { sequence_number: this.#output.next, item_id: this.#output.itemId(index), output_index: index };
    const part = this.#output.openPart(index);
    this.#output.emit(
      kind === 'text'
        ? { type: 'response.reasoning_text.delta', ...place, content_index: part, delta }
        : { type: 'response.reasoning_summary_text.delta', ...place, summary_index: part, delta },
    );
  }

  #annotation(annotation: OutputTextPart['annotations'][number]): void {
    if (!this.#output.isOpen('message')) return;
    const index = this.#output.lastIndex();
    const part = this.#output.openPart(index);
    const item = this.response.output[index];
    const open = item?.type === 'message' ? item.content[part] : undefined;
    if (open?.type !== 'output_text') return;
    this.#output.emit({
      type: 'response.output_text.annotation.added',
      sequence_number: this.#output.next,
      item_id: this.#output.itemId(index),
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
      this.#output.closeComplete();
      call.index = this.#output.openCall(event, call.callId, call.name);
    }
    if (call.held === '' || !this.#output.fold.open.has(call.index)) return; // a delta for a closed call is a repetition
    const delta = call.held;
    call.held = '';
    this.#output.callDelta(call.index, delta);
  }

  #end(status: EndStatus, fields: Partial<Response>): void {
    if (!canBecome(this.response.status, status)) {
      throw new Error(`a response that is ${this.response.status} can't become ${status}`);
    }
    const closing: Closing = status === 'completed' ? 'completed' : 'incomplete';
    for (const index of this.#output.openIndexes()) this.#output.closeItem(index, closing);
    this.#output.emit({
      type: terminalEventType(status),
      sequence_number: this.#output.next,
      response: { ...this.response, status, service_tier: this.#serviceTier, usage: this.#usage, ...fields },
    });
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
