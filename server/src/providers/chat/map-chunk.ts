import type { FinishReason, UpstreamEvent, UpstreamFailure, UpstreamUsage } from '../../domain/upstream-event.ts';
import type { Logprob } from '../../protocol/items.ts';
import { asList, asObject, asText } from './json.ts';
import type { JsonObject } from './json.ts';
import { mapStreamError, upstreamFailed } from './map-error.ts';
import type { ErrorContext } from './map-error.ts';
import { mapFinishReason } from './map-finish-reason.ts';
import { findUsage } from './map-usage.ts';
import {
  readAnnotations,
  readCitations,
  readContentParts,
  readLogprobs,
  readReasoning,
  readReasoningDetails,
  readToolCall,
  urlCitation,
} from './read-delta.ts';
import type { CallNames } from './name-calls.ts';
import type { ThinkTags } from './think-tags.ts';
import { ToolCallKeys } from './tool-call-keys.ts';

/** They are held to the end, and nobody reads more. */
const MOST_CITATIONS = 1_000;
const MOST_URL = 8_192;

/** Other servers have tiers of their own, which no client of the Responses API knows. */
const SERVICE_TIERS: ReadonlySet<string> = new Set(['default', 'flex', 'scale', 'priority', 'fast', 'ultrafast']);

/**
 * Chat chunks -> upstream events, for one generation (upstream.md §2b). Collects them in `events` until they are
 * taken. Usage and the finish reason are held to the end, because both may be said again, and usage after the finish.
 */
export class ChunkMapper {
  readonly #context: ErrorContext;
  readonly #tags: ThinkTags | undefined;
  readonly #names: CallNames;
  readonly #calls = new ToolCallKeys();
  readonly #citations = new Set<string>();
  #events: UpstreamEvent[] = [];
  #met = false;
  #hasOutput = false;
  #usage: UpstreamUsage | undefined;
  #finish: FinishReason | 'error' | undefined;
  #ended = false;

  /** @param names tells what the calls are calls of */
  constructor(context: ErrorContext, tags: ThinkTags | undefined, names: CallNames) {
    this.#context = context;
    this.#tags = tags;
    this.#names = names;
  }

  /** A `finish` or an `error` is the last of the events. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The model is done: nothing but usage is to be expected. */
  get finishing(): boolean {
    return this.#finish !== undefined;
  }

  /** The events since the last call. */
  take(): UpstreamEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** @param value a chunk of a stream, or a whole `chat.completion`, which is taken for one big chunk */
  map(value: unknown): void {
    if (this.#ended) return;
    const chunk = asObject(value);
    if (chunk === undefined) return this.fail(upstreamFailed('The upstream sent a chunk that is not an object.', true));
    const error = chunk['object'] === 'error' ? chunk : chunk['error'];
    if (isError(error)) return this.mapError(error);
    this.#meet(chunk);
    if (chunk['citations']) this.#cite(readCitations(chunk));
    for (const entry of asList(chunk['choices'])) {
      const choice = asObject(entry);
      // A second answer (n > 1) has no place in a response.
      if (choice === undefined || (choice['index'] ?? 0) !== 0) continue;
      if (isError(choice['error'])) return this.mapError(choice['error']);
      this.#usage = findUsage(chunk, choice) ?? this.#usage;
      this.#choose(choice);
      return;
    }
    this.#usage = findUsage(chunk, undefined) ?? this.#usage;
  }

  mapError(error: unknown): void {
    this.fail(mapStreamError(error, this.#context));
  }

  /** A failure after the finish reason changes nothing about the answer. */
  fail(failure: UpstreamFailure): void {
    if (this.#ended) return;
    if (this.#finish !== undefined) return this.end();
    this.#close();
    this.#events.push({ type: 'error', ...failure });
  }

  /** The stream is over. @param done it said so itself, by `[DONE]` */
  end(done = false): void {
    if (this.#ended) return;
    this.#close();
    const ending = this.#ending(done);
    this.#events.push(typeof ending === 'string' ? { type: 'finish', reason: ending } : { type: 'error', ...ending });
  }

  #ending(done: boolean): FinishReason | UpstreamFailure {
    const reason = this.#finish ?? (done && this.#hasOutput ? 'stop' : undefined);
    if (reason === 'error') return upstreamFailed('The upstream could not finish the answer.', true);
    if (reason === undefined) {
      return upstreamFailed(
        done ? 'The upstream sent no answer.' : 'The upstream ended in the middle of the answer.',
        true,
      );
    }
    const whole = reason === 'stop' || reason === 'tool_calls';
    if (whole && this.#calls.hasNameless) return upstreamFailed('The upstream called a tool without naming it.', true);
    return reason;
  }

  #close(): void {
    this.#ended = true;
    for (const piece of this.#tags?.flush() ?? []) this.#think(piece.type, piece.delta);
    for (const event of this.#names.end()) this.#events.push(event);
    for (const url of this.#citations) {
      this.#events.push({ type: 'annotation', annotation: urlCitation(url, undefined, 0, 0) });
    }
    if (this.#usage !== undefined) this.#events.push({ type: 'usage', ...this.#usage });
  }

  #cite(urls: readonly string[]): void {
    for (const url of urls) {
      if (url.length <= MOST_URL && this.#citations.size < MOST_CITATIONS) this.#citations.add(url);
    }
  }

  #meet(chunk: JsonObject): void {
    if (this.#met) return;
    this.#met = true;
    const upstreamId = asText(chunk['id']);
    const model = asText(chunk['model']);
    const tier = asText(chunk['service_tier']);
    this.#events.push({
      type: 'meta',
      ...(upstreamId !== undefined && { upstreamId }),
      ...(model !== undefined && { model }),
      ...(tier !== undefined && SERVICE_TIERS.has(tier) && { serviceTier: tier }),
    });
  }

  #choose(choice: JsonObject): void {
    if (this.#finish !== undefined) return;
    const delta = asObject(choice['delta']) ?? asObject(choice['message']);
    if (delta !== undefined) this.#delta(delta, choice);
    const reason = asText(choice['finish_reason']);
    if (reason !== undefined) this.#finish = mapFinishReason(reason);
  }

  #delta(delta: JsonObject, choice: JsonObject): void {
    const thought = readReasoning(delta);
    if (thought !== undefined) this.#think('reasoning', thought);
    else if (delta['reasoning_details']) for (const event of readReasoningDetails(delta)) this.#output(event);
    const content = delta['content'];
    if (typeof content === 'string') {
      if (content !== '') this.#text(content, choice['logprobs'] ? readLogprobs(choice) : undefined);
    } else if (Array.isArray(content)) {
      for (const event of readContentParts(content)) this.#output(event);
    }
    const refusal = asText(delta['refusal']);
    if (refusal !== undefined) this.#output({ type: 'refusal', delta: refusal });
    if (delta['annotations']) {
      for (const annotation of readAnnotations(delta)) this.#events.push({ type: 'annotation', annotation });
    }
    if (delta['tool_calls']) for (const call of asList(delta['tool_calls'])) this.#toolCall(call);
    // The form before there were several calls.
    const legacy = asObject(delta['function_call']);
    if (legacy !== undefined) this.#toolCall({ index: 0, function: legacy });
  }

  #text(content: string, logprobs: Logprob[] | undefined): void {
    const pieces = this.#tags?.push(content);
    const [only] = pieces ?? [];
    if (pieces === undefined || (pieces.length === 1 && only?.type === 'text' && only.delta === content)) {
      this.#output({ type: 'text', delta: content, ...(logprobs !== undefined && { logprobs }) });
      return;
    }
    // Logprobs of a delta that was cut belong to no piece of it.
    for (const piece of pieces) this.#think(piece.type, piece.delta);
  }

  #think(type: 'text' | 'reasoning', delta: string): void {
    this.#output(type === 'text' ? { type, delta } : { type, kind: 'text', delta });
  }

  #toolCall(value: unknown): void {
    const call = readToolCall(value);
    if (call.id === undefined && call.name === undefined && call.arguments === undefined) return;
    this.#output(this.#names.restore(this.#calls.keyOf(call), call));
  }

  #output(event: UpstreamEvent): void {
    this.#hasOutput = true;
    this.#events.push(event);
  }
}

function isError(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false && value !== '';
}
