import type { FastifyReply, FastifyRequest } from 'fastify';
import { bindLog } from '../domain/bind-log.ts';
import type { Clock, Log } from '../domain/ports.ts';
import type { QueuePlace } from '../responses/queue-place.ts';
import { isFinal } from '../responses/snapshot.ts';
import type { Snapshot } from '../responses/snapshot.ts';

/** What every route needs of its request and reply. */

/** Aborts when the connection closes: before the answer is complete that means that the client has left. */
export function clientSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const leave = (): void => {
    controller.abort(new Error('the client has left'));
  };
  if (reply.raw.destroyed) leave();
  else reply.raw.once('close', leave);
  return controller.signal;
}

/** Lines that say which request they are about, and which response if that is known. */
export function logOf(log: Log, { requestId, responseId }: FastifyRequest): Log {
  return bindLog(log, { request_id: requestId, ...(responseId !== '' && { response_id: responseId }) });
}

export function stampDuration(clock: Clock, request: FastifyRequest, reply: FastifyReply): void {
  reply.header('openai-processing-ms', String(Math.max(0, Math.round(clock.now() - request.startedAt))));
}

/** Adds to what the answer depends on. */
export function addVary(reply: FastifyReply, name: string): void {
  const before = reply.getHeader('vary');
  reply.header('vary', before === undefined ? name : `${String(before)}, ${name}`);
}

export function tellPlace(reply: FastifyReply, { position, waitedMs }: QueuePlace): void {
  if (position !== undefined) reply.header('holt-queue-position', String(position));
  if (waitedMs !== undefined) reply.header('holt-queue-wait-ms', String(Math.max(0, Math.round(waitedMs))));
}

/** The pace of the background guide's own polling loop. */
const POLL_AFTER_MS = 2_000;

/**
 * A final snapshot goes out as the bytes that were stored, so that it is the same each time; another one with the time
 * after which to ask again.
 */
export function sendSnapshot(reply: FastifyReply, snapshot: Snapshot, pollAfterMs = POLL_AFTER_MS): FastifyReply {
  if (!isFinal(snapshot)) reply.header('openai-poll-after-ms', String(pollAfterMs));
  return reply.type('application/json').send(bodyOf(snapshot));
}

function bodyOf(snapshot: Snapshot): string | Buffer {
  if (!(snapshot instanceof Uint8Array)) {
    const json = 'render' in snapshot ? snapshot.render() : JSON.stringify(snapshot);
    if (typeof json === 'string') return json;
    return bodyOf(json);
  }
  return Buffer.from(snapshot.buffer, snapshot.byteOffset, snapshot.length);
}
