import { createParser } from 'eventsource-parser';
import type { EventSourceMessage, EventSourceParser, ParseError } from 'eventsource-parser';
import type { UpstreamEvent, UpstreamFailure } from '../../domain/upstream-event.ts';
import { parseJson } from './json.ts';
import type { ChunkMapper } from './map-chunk.ts';
import { upstreamFailed } from './map-error.ts';

/** A line or a JSON body beyond this is an error of the upstream, not memory of ours. */
export const LINE_CHARACTERS = 8 * 1024 * 1024;

/**
 * Bytes of a 2xx reply -> upstream events: an event stream, or a JSON body where a server ignored `stream: true`. The
 * first character decides which, since content types lie.
 */
export class StreamReader {
  readonly #mapper: ChunkMapper;
  readonly #parser: EventSourceParser;
  readonly #decoder = new TextDecoder();
  #kind: 'unknown' | 'events' | 'json' = 'unknown';
  #json = '';
  #alive = false;
  #done = false;

  constructor(mapper: ChunkMapper) {
    this.#mapper = mapper;
    this.#parser = createParser({
      maxBufferSize: LINE_CHARACTERS,
      onEvent: (message) => this.#message(message),
      onError: (error) => this.#lineError(error),
      onComment: () => {
        this.#alive = true;
      },
    });
  }

  get ended(): boolean {
    return this.#mapper.ended;
  }

  /** The upstream has said that nothing follows. */
  get done(): boolean {
    return this.#done;
  }

  get finishing(): boolean {
    return this.#mapper.finishing;
  }

  /** The events since the last call. */
  take(): UpstreamEvent[] {
    const events = this.#mapper.take();
    if (events.length === 0 && this.#alive) events.push({ type: 'alive' });
    this.#alive = false;
    return events;
  }

  feed(bytes: Uint8Array): void {
    this.#text(this.#decoder.decode(bytes, { stream: true }));
  }

  /** The bytes are over, without a failure unless there is one. */
  end(failure?: UpstreamFailure): void {
    if (failure !== undefined) {
      this.#mapper.fail(failure);
      return;
    }
    this.#text(this.#decoder.decode());
    // A last event without its blank line still counts, since some servers leave it out.
    if (this.#kind === 'events' && !this.#mapper.ended) this.#parser.feed('\n\n');
    if (this.#kind === 'json') this.#mapper.map(parseJson(this.#json));
    this.#mapper.end();
  }

  #text(text: string): void {
    if (this.#mapper.ended || text === '') return;
    if (this.#kind === 'unknown') this.#recognize(text);
    if (this.#kind === 'events') {
      this.#parser.feed(text);
    } else if (this.#kind === 'json') {
      this.#json += text;
      if (this.#json.length > LINE_CHARACTERS) this.#tooLong();
    }
  }

  #recognize(text: string): void {
    const first = text.trimStart()[0];
    if (first === undefined) return;
    if (first === '<') this.#mapper.fail(upstreamFailed('The upstream answered with a web page.', false));
    else this.#kind = first === '{' || first === '[' ? 'json' : 'events';
  }

  #message(message: EventSourceMessage): void {
    const data = message.data.trim();
    if (data === '[DONE]') {
      this.#done = true;
      this.#mapper.end(true);
    } else if (message.event === 'error') {
      this.#mapper.mapError(readData(data));
    } else if (data === '') {
      this.#alive = true;
    } else {
      const chunk = parseJson(data);
      if (chunk === undefined) this.#mapper.fail(upstreamFailed('The upstream sent a chunk that is not JSON.', true));
      else this.#mapper.map(chunk);
    }
  }

  #lineError(error: ParseError): void {
    if (error.type === 'max-buffer-size-exceeded') this.#tooLong();
    // llama.cpp names the field of an error event `error` instead of `data`.
    else if (error.field === 'error') this.#mapper.mapError(readData(error.value ?? ''));
  }

  #tooLong(): void {
    this.#mapper.fail(upstreamFailed(`The upstream sent a line of more than ${LINE_CHARACTERS} characters.`, false));
  }
}

/** The error in the data of an error event, which may be wrapped once more, or no JSON at all. */
function readData(data: string): unknown {
  const parsed = parseJson(data);
  return typeof parsed === 'object' && parsed !== null && 'error' in parsed ? parsed.error : (parsed ?? data);
}
