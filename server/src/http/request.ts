import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../domain/ports.ts';
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

export function stampDuration(clock: Clock, request: FastifyRequest, reply: FastifyReply): void {
  reply.header('openai-processing-ms', String(Math.max(0, Math.round(clock.now() - request.startedAt))));
}

/** A final snapshot goes out as the bytes that were stored, so that it is the same each time. */
export function sendSnapshot(reply: FastifyReply, snapshot: Snapshot): FastifyReply {
  return reply
    .type('application/json')
    .send(
      snapshot instanceof Uint8Array
        ? Buffer.from(snapshot.buffer, snapshot.byteOffset, snapshot.length)
        : JSON.stringify(snapshot),
    );
}
