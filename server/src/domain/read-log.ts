import type { ResponseEvent } from '../protocol/events.ts';
import type { Response } from '../protocol/response.ts';
import type { ChunkPage } from './chunk.ts';
import { decodeEvents } from './chunk-codec.ts';
import { BrokenLog, Fold } from './fold.ts';
import type { Store } from './ports.ts';

/** Bodies of a page, which is read, decoded and written in one go: up to some 700 kB of SSE. */
export const PAGE_BYTES = 16 * 1024;

/** Compaction moves chunks under a reader a few times at most; what moves more often is out of order. */
const MAX_RESTARTS = 100;

/**
 * The events of a page after `after`. Throws BrokenLog when a chunk no longer holds what it says: its response was
 * deleted meanwhile.
 */
export function decodePage(page: ChunkPage, after: number, dictionary: () => Response): ResponseEvent[] {
  const events: ResponseEvent[] = [];
  for (const chunk of page.chunks) {
    let count = 0;
    for (const event of decodeEvents(chunk.body, chunk.firstSequence, dictionary)) {
      count += 1;
      if (event.sequence_number > after) events.push(event);
    }
    if (count !== chunk.count) throw new BrokenLog('a chunk is empty');
  }
  return events;
}

/** The state that the log of a response says, from its beginning. Throws BrokenLog when it can't be read to its end. */
export async function foldLog(store: Pick<Store, 'read'>, no: number): Promise<Fold> {
  const { state, damage } = await foldReadable(store, no);
  if (damage !== undefined) throw damage;
  return state;
}

/** The same as far as the log can be read, and what ended that. */
export async function foldReadable(
  store: Pick<Store, 'read'>,
  no: number,
): Promise<{ state: Fold; damage: BrokenLog | undefined }> {
  let state = new Fold();
  for (let restarts = 0; ;) {
    const page = await store.read(no, state.nextSequence - 1, PAGE_BYTES);
    const [first] = page.chunks;
    if (first === undefined) return { state, damage: undefined };
    if (first.firstSequence < state.nextSequence) {
      // It was compacted since the last page: what is folded is in this chunk again.
      restarts += 1;
      if (restarts > MAX_RESTARTS) return { state, damage: new BrokenLog('its chunks are out of order') };
      state = new Fold();
      if (first.firstSequence > 0) continue;
    }
    for (const chunk of page.chunks) {
      const damage = applyChunk(state, chunk);
      if (damage !== undefined) return { state, damage };
    }
    if (page.closed) return { state, damage: undefined };
  }
}

function applyChunk(state: Fold, chunk: ChunkPage['chunks'][number]): BrokenLog | undefined {
  const next = chunk.firstSequence + chunk.count;
  try {
    for (const event of decodeEvents(chunk.body, chunk.firstSequence, () => state.response)) state.apply(event);
  } catch (error) {
    // Only these don't quote what they stumbled over.
    const why = error instanceof BrokenLog || error instanceof RangeError ? `: ${error.message}` : '';
    return new BrokenLog(`the chunk of event ${chunk.firstSequence} can't be decoded${why}`);
  }
  if (state.nextSequence === next) return undefined;
  return new BrokenLog(`the chunk of event ${chunk.firstSequence} does not hold the events it says`);
}
