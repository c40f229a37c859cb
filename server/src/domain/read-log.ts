import type { ResponseEvent } from '../protocol/events.ts';
import type { Response } from '../protocol/response.ts';
import type { ChunkPage } from './chunk.ts';
import { decodeEvents } from './chunk-codec.ts';
import { BrokenLog, Fold } from './fold.ts';
import type { Store } from './ports.ts';

/** Bodies of a page, which is read, decoded and written in one go: up to some 700 kB of SSE. */
export const PAGE_BYTES = 16 * 1024;

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

/** The state that the log of a response says, from its beginning. */
export async function foldLog(store: Pick<Store, 'read'>, no: number): Promise<Fold> {
  let folded = new Fold();
  for (;;) {
    const page = await store.read(no, folded.nextSequence - 1, PAGE_BYTES);
    const [first] = page.chunks;
    if (first === undefined) return folded;
    if (first.firstSequence < folded.nextSequence) {
      // It was compacted since the last page: what is folded is in this chunk again.
      folded = new Fold();
      if (first.firstSequence > 0) continue;
    }
    for (const chunk of page.chunks) {
      for (const event of decodeEvents(chunk.body, chunk.firstSequence, () => folded.response)) folded.apply(event);
    }
    if (page.closed) return folded;
  }
}
