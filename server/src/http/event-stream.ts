import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import type { Metrics } from '../domain/metrics.ts';
import type { Clock, Log } from '../domain/ports.ts';
import { cutWhenStalled } from './connections.ts';
import type { ConnectionLimits } from './connections.ts';
import type { DeltaEvent, ResponseEvent } from '../protocol/events.ts';

/**
 * Events -> SSE on a socket (contract.md §3.1): one write holds whole events, comments keep the connection alive, no
 * `id:`, no `retry:`, no `[DONE]`. A slow socket stops the reading; nothing is kept for it. One that takes nothing at all
 * is cut after a while: a foreground run waits for its reader, and would hold its slot and its upstream for ever.
 */

/** Proxies cut silent connections after 60 s and more; the contract says a comment at least every 15 s. */
export const KEEP_ALIVE_MS = 10_000;
const KEEP_ALIVE = ': keepalive\n\n';

export type EventStreamOptions = {
  events: AsyncIterable<readonly ResponseEvent[]>;
  obfuscate: boolean;
  /** Aborts when the client has left. */
  signal: AbortSignal;
  keepAliveMs: number;
  clock: Clock;
  /** Says itself which request and response it is about. */
  log: Log;
  metrics: Metrics;
  connections: ConnectionLimits;
};

/** Resolves when the stream is over, however it ended. Never rejects. */
export async function sendEventStream(reply: FastifyReply, options: EventStreamOptions): Promise<void> {
  const { raw } = reply;
  reply.hijack();
  raw.writeHead(200, {
    ...headersOf(reply),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  });
  if (reply.request.method === 'HEAD') {
    raw.end(); // the events were never asked for: an iterable that is not begun holds nothing
    return;
  }
  raw.flushHeaders();
  cutWhenStalled(reply, options.connections, options.log);
  const keepAlive = options.clock.timer(options.keepAliveMs, () => {
    if (!raw.writableNeedDrain) raw.write(KEEP_ALIVE);
    keepAlive.refresh();
  });
  options.metrics.streamOpened();
  try {
    for await (const page of options.events) {
      if (options.signal.aborted) return;
      const flowing = raw.write(renderPage(page, options.obfuscate));
      keepAlive.refresh();
      if (!flowing) await drained(raw);
    }
    raw.end();
  } catch (error) {
    // Without a terminal event a clean close would look like a complete stream: the connection is cut.
    if (!options.signal.aborted) options.log.warn({ err: error }, 'a stream could not go on');
    raw.destroy();
  } finally {
    keepAlive.cancel();
    options.metrics.streamClosed();
  }
}

/** Bounded by the client: it reads on, or its connection closes. */
function drained(raw: ServerResponse): Promise<void> {
  if (raw.destroyed || !raw.writableNeedDrain) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = (): void => {
      raw.off('drain', finish);
      raw.off('close', finish);
      resolve();
    };
    raw.on('drain', finish);
    raw.on('close', finish);
  });
}

function headersOf(reply: FastifyReply): Record<string, string | number | string[]> {
  return Object.fromEntries(
    Object.entries(reply.getHeaders()).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** Readers of one response get the same pages: rendered once. */
const rendered = new WeakMap<readonly ResponseEvent[], string>();

function renderPage(events: readonly ResponseEvent[], obfuscate: boolean): string {
  if (obfuscate) return events.map(renderObfuscated).join('');
  let text = rendered.get(events);
  if (text === undefined) {
    text = '';
    for (const event of events) text += renderEvent(event);
    rendered.set(events, text);
  }
  return text;
}

/** The key order is that of the object, so that live and stored events are the same bytes. */
function renderEvent(event: ResponseEvent): string {
  if (event.type === 'response.output_text.delta' && event.logprobs.length === 0) {
    // The hot line, written by hand: ids and numbers of ours need no escaping.
    return `event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":${event.sequence_number},"item_id":"${event.item_id}","output_index":${event.output_index},"content_index":${event.content_index},"delta":${JSON.stringify(event.delta)},"logprobs":[]}\n\n`;
  }
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

function renderObfuscated(event: ResponseEvent): string {
  if (!isDelta(event)) return renderEvent(event);
  return `event: ${event.type}\ndata: ${JSON.stringify({ ...event, obfuscation: padding(event.delta.length) })}\n\n`;
}

function isDelta(event: ResponseEvent): event is DeltaEvent {
  return 'delta' in event;
}

const BLOCK = 16;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Up to the next multiple of 16, so that the length of a frame says little about its text (contract.md §3.4). */
function padding(length: number): string {
  let text = '';
  for (let missing = BLOCK - (length % BLOCK); missing > 0; missing -= 1) {
    text += LETTERS[Math.floor(Math.random() * LETTERS.length)] ?? 'A';
  }
  return text;
}
