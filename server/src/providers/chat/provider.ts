import type { Dispatcher } from 'undici';
import type { Clock, Log, Provider, Turn } from '../../domain/ports.ts';
import type { Unserved } from '../../domain/unserved.ts';
import type { UpstreamEvent, UpstreamFailure } from '../../domain/upstream-event.ts';
import type { CreateResponseBody } from '../../protocol/create-response.ts';
import type { InputItem } from '../../protocol/items.ts';
import type { Model } from '../../protocol/list.ts';
import { buildRequest } from './build-request.ts';
import { checkRequest } from './check-request.ts';
import type { Dialect } from './dialect.ts';
import { createDispatcher } from './dispatcher.ts';
import type { ProxySettings } from './dispatcher.ts';
import { Exchange } from './exchange.ts';
import type { Outcome, Phase, Timeouts } from './exchange.ts';
import type { JsonObject } from './json.ts';
import { readModels } from './list-models.ts';
import { ChunkMapper } from './map-chunk.ts';
import { CallNames } from './name-calls.ts';
import { mapHttpError, mapNetworkError, networkCode, upstreamFailed } from './map-error.ts';
import type { ErrorContext } from './map-error.ts';
import { OptionalFields } from './optional-fields.ts';
import { StreamReader } from './read-stream.ts';
import { ThinkTags } from './think-tags.ts';
import { unservedBy } from './unserved.ts';

export type ChatOptions = {
  name: string;
  /** As far as `/chat/completions` is not in it, usually ending in `/v1`. */
  baseUrl: string;
  apiKey?: string;
  proxy: ProxySettings;
  dialect?: Dialect;
  /** Thoughts come as `<think>…</think>` inside the text. `opened`: the chat template has written the first tag. */
  thinkTags?: boolean | 'opened';
  timeouts?: Partial<Timeouts>;
};
export type ChatDeps = { log: Log; clock: Clock };

/** Ten minutes of silence are normal for a model that thinks or is being loaded (upstream.md §3d). */
const TIMEOUTS: Timeouts = { connectMs: 10_000, headersMs: 600_000, idleMs: 900_000, tailMs: 5_000 };

/** An error body is a sentence; what is longer is a page. */
const ERROR_BODY_BYTES = 64 * 1024;
/** Aggregators list a thousand models at a kilobyte each. */
const MODELS_BODY_BYTES = 8 * 1024 * 1024;

/** The adapter to servers that speak Chat Completions, over connections of its own until `close`. */
export function createChatProvider(options: ChatOptions, deps: ChatDeps): Provider {
  return new ChatProvider(options, deps);
}

class ChatProvider implements Provider {
  readonly name: string;
  readonly #options: ChatOptions;
  readonly #deps: ChatDeps;
  readonly #dialect: Dialect;
  readonly #base: URL;
  readonly #timeouts: Timeouts;
  readonly #dispatcher: Dispatcher;
  readonly #optional = new OptionalFields();

  constructor(options: ChatOptions, deps: ChatDeps) {
    this.name = options.name;
    this.#options = options;
    this.#deps = deps;
    this.#dialect = options.dialect ?? 'generic';
    this.#base = new URL(options.baseUrl);
    this.#timeouts = { ...TIMEOUTS, ...options.timeouts };
    this.#dispatcher = createDispatcher(this.#base.protocol, options.proxy, this.#timeouts.connectMs);
  }

  unserved(request: CreateResponseBody): Unserved[] {
    return unservedBy(this.#dialect, request);
  }

  check(request: CreateResponseBody, items: readonly InputItem[], history: readonly InputItem[]): void {
    checkRequest(request, items, history, this.#dialect);
  }

  async *run(turn: Turn, signal: AbortSignal): AsyncGenerator<readonly UpstreamEvent[]> {
    const whole = buildRequest(turn, this.#dialect);
    const context = this.#errorContext(turn);
    const about = { provider: this.name, response_id: turn.idempotencyKey.split('-')[0] };
    let again = true;
    while (again && !signal.aborted) {
      const body = this.#optional.trim(whole);
      const exchange = this.#post(body, turn.idempotencyKey);
      const abort = (): void => exchange.abort();
      signal.addEventListener('abort', abort, { once: true });
      try {
        await replyBegun(exchange);
        again = false;
        if (exchange.status >= 200 && exchange.status < 300) {
          const reader = new StreamReader(
            new ChunkMapper(context, this.#thinkTags(), new CallNames(turn.request.tools)),
          );
          while (!reader.ended && !signal.aborted) {
            await exchange.wait();
            this.#advance(exchange, reader, about);
            const events = reader.take();
            if (events.length > 0 && !signal.aborted) yield events;
          }
        } else {
          const failure = await this.#refusal(exchange, body, context, about);
          if (failure === 'try again') again = true;
          else if (!signal.aborted) yield [{ type: 'error', ...failure }];
        }
      } finally {
        signal.removeEventListener('abort', abort);
        exchange.close();
      }
    }
  }

  async models(signal: AbortSignal): Promise<Model[]> {
    const exchange = this.#send({ path: this.#path('/models'), method: 'GET', headers: this.#headers() });
    const abort = (): void => exchange.abort();
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      await replyBegun(exchange);
      const body = await exchange.readBody(MODELS_BODY_BYTES);
      if (exchange.status === 200) return readModels(body);
      this.#deps.log.debug({ provider: this.name, status: exchange.status }, 'the upstream lists no models');
      return [];
    } finally {
      signal.removeEventListener('abort', abort);
      exchange.close();
    }
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  /** Hands what has come in to the reader. */
  #advance(exchange: Exchange, reader: StreamReader, about: object): void {
    const bytes = exchange.take();
    if (bytes !== undefined) reader.feed(bytes);
    if (reader.done) exchange.release();
    else if (reader.finishing) exchange.expectEnd();
    const { outcome } = exchange;
    if (outcome !== undefined && outcome.type !== 'aborted') reader.end(this.#failureOf(outcome, about));
  }

  /** Why there is no answer, or that the same request is worth another try with less in it. */
  async #refusal(
    exchange: Exchange,
    sent: JsonObject,
    context: ErrorContext,
    about: object,
  ): Promise<UpstreamFailure | 'try again'> {
    if (exchange.status === 0) {
      const failure = exchange.outcome === undefined ? undefined : this.#failureOf(exchange.outcome, about);
      return failure ?? upstreamFailed('The upstream closed the connection without an answer.', true);
    }
    const reply = await exchange.readBody(ERROR_BODY_BYTES);
    this.#deps.log.debug({ ...about, status: exchange.status }, 'the upstream refused a request');
    if (this.#optional.learn(exchange.status, reply, sent)) return 'try again';
    return mapHttpError(exchange.status, exchange.headers, reply, context);
  }

  #failureOf(outcome: Outcome, about: object): UpstreamFailure | undefined {
    if (outcome.type === 'error') {
      const error = networkCode(outcome.error);
      this.#deps.log.debug({ ...about, error }, 'the upstream connection failed');
      return mapNetworkError(outcome.error);
    }
    if (outcome.type !== 'timeout' || outcome.phase === 'tail') return undefined;
    return upstreamFailed(TIMEOUT_MESSAGES[outcome.phase], true);
  }

  #post(body: JsonObject, idempotencyKey: string): Exchange {
    return this.#send({
      path: this.#path('/chat/completions'),
      method: 'POST',
      headers: {
        ...this.#headers(),
        'content-type': 'application/json',
        accept: 'text/event-stream',
        'idempotency-key': idempotencyKey,
      },
      body: JSON.stringify(body),
    });
  }

  #send(request: Dispatcher.DispatchOptions): Exchange {
    const options = { origin: this.#base.origin, ...request };
    return new Exchange(this.#dispatcher, options, this.#deps.clock, this.#timeouts);
  }

  #path(end: string): string {
    return `${this.#base.pathname.replace(/\/+$/, '')}${end}${this.#base.search}`;
  }

  #headers(): Record<string, string> {
    const { apiKey } = this.#options;
    return apiKey === undefined || apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` };
  }

  #errorContext(turn: Turn): ErrorContext {
    return {
      model: turn.request.model ?? turn.model,
      secret: this.#options.apiKey === '' ? undefined : this.#options.apiKey,
      clock: this.#deps.clock,
    };
  }

  #thinkTags(): ThinkTags | undefined {
    const { thinkTags = false } = this.#options;
    return thinkTags === false ? undefined : new ThinkTags(thinkTags === 'opened');
  }
}

const TIMEOUT_MESSAGES: Record<Exclude<Phase, 'tail'>, string> = {
  connect: 'The upstream could not be reached in time.',
  headers: 'The upstream did not begin to answer in time.',
  idle: 'The upstream fell silent in the middle of the answer.',
};

async function replyBegun(exchange: Exchange): Promise<void> {
  while (exchange.status === 0 && exchange.outcome === undefined) await exchange.wait();
}
