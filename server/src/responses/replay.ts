import { apiError } from '../domain/errors.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { ResponseEvent } from '../protocol/events.ts';
import type { ResponsesDeps } from './deps.ts';
import { placeOf } from './queue-place.ts';
import { rowReads, streamOf } from './retrieve.ts';
import { serveRequest } from './serve-request.ts';
import { snapshotOf } from './snapshot.ts';
import type { Snapshot } from './snapshot.ts';

/** A create that was sent before: the client has lost its answer, or wants to be sure that it runs once. */

export type IdempotencyKey = {
  key: string;
  /** SHA-256 of the request body, 64 hex digits. */
  bodyHash: string;
};

/** How long a key is kept: longer than any client goes on trying, ms. */
export const KEY_RETENTION_MS = 24 * 3_600_000;

/** What a create is answered with. */
export type Answer = (
  | { kind: 'response'; id: string; response: Snapshot }
  | { kind: 'stream'; id: string; events: AsyncIterable<readonly ResponseEvent[]>; obfuscate: boolean }
) & {
  /** Of what waits in the queue: as `QueuePlace` has it. */
  position?: number | undefined;
};

/**
 * The answer of the response that this key has made: its state now, or its stream from the first event. It makes nothing
 * and takes no slot, so it is there whenever the store can be read. Undefined when there is none; throws
 * `idempotency_key_reused` when it was made of another body.
 */
export async function replay(
  deps: ResponsesDeps,
  projectId: string,
  { key, bodyHash }: IdempotencyKey,
  body: CreateResponseBody,
  signal: AbortSignal,
): Promise<(Answer & { dropped: string[] }) | undefined> {
  const found = await rowReads.take(() => deps.store.findByKey(projectId, key, deps.clock.now()));
  if (found === undefined) return undefined;
  if (found.bodyHash !== bodyHash) throw apiError('idempotency_key_reused');
  const { id } = found.response;
  const dropped = droppedFrom(deps, body);
  const { position } = await placeOf(deps, found.response);
  if (body.stream !== true) {
    return { kind: 'response', id, position, response: await snapshotOf(deps, found.response), dropped };
  }
  const events = streamOf(deps, found.response, -1, signal, 'replay_expired');
  const obfuscate = body.stream_options?.include_obfuscation ?? false;
  return { kind: 'stream', id, position, events, obfuscate, dropped };
}

/** What a lenient model had left out of this request it would leave out again. */
function droppedFrom({ models }: ResponsesDeps, body: CreateResponseBody): string[] {
  const binding = models.resolve(body.model ?? '');
  return binding?.compat === 'lenient' ? serveRequest(body, binding).dropped : [];
}
