import { createChatProvider } from '../../server/src/providers/chat/provider.ts';
import type { ChatOptions } from '../../server/src/providers/chat/provider.ts';
import type { Clock, Log, Provider, Turn } from '../../server/src/domain/ports.ts';
import { createResponseBody } from '../../server/src/protocol/create-response.ts';
import type { UpstreamEvent } from '../../server/src/domain/upstream-event.ts';
import { FakeClock } from './clock.ts';

export const silentLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

function ignore(): void {}

/** A chat provider on `baseUrl`, on a clock that stands still, closed with its scope. */
export function openProvider(
  baseUrl: string,
  options: Partial<ChatOptions> = {},
  clock: Clock = new FakeClock(),
): Provider & AsyncDisposable {
  const provider = createChatProvider({ name: 'test', baseUrl, proxy: {}, ...options }, { log: silentLog, clock });
  return Object.assign(provider, { [Symbol.asyncDispose]: () => provider.close() });
}

/** A request as it comes out of the schema of the wire. */
export function requestOf(fields: object): Turn['request'] {
  return createResponseBody.parse(fields);
}

/** A turn that asks `model` for an answer to "Hi". */
export function turnFor(model: string, over: Partial<Turn> = {}): Turn {
  const items: Turn['items'] = [{ type: 'message', role: 'user', content: 'Hi' }];
  return {
    model,
    instructions: null,
    items,
    idempotencyKey: 'resp_1-0',
    ...over,
    request: over.request ?? requestOf({ model, input: 'Hi' }),
  };
}

/** Runs a turn to its end; its events in one list, without `alive`, which depends on how the bytes came. */
export async function collect(
  provider: Provider,
  turn: Turn,
  signal: AbortSignal = new AbortController().signal,
): Promise<UpstreamEvent[]> {
  const events: UpstreamEvent[] = [];
  for await (const batch of provider.run(turn, signal)) events.push(...batch);
  return events.filter((event) => event.type !== 'alive');
}

/** All the text of the events. */
export function textOf(events: readonly UpstreamEvent[]): string {
  return events.map((event) => (event.type === 'text' ? event.delta : '')).join('');
}

/** The last event, which has to be an error. */
export function errorOf(events: readonly UpstreamEvent[]): Extract<UpstreamEvent, { type: 'error' }> {
  const last = events.at(-1);
  if (last?.type !== 'error') throw new Error(`the run ended with ${JSON.stringify(last)}`);
  return last;
}
