import type { Clock, Timer } from '../domain/ports.ts';
import type { Response } from '../protocol/response.ts';

/**
 * The ended responses that are being replayed, parsed. Each page of a log refers to its response, which may be a
 * thousand times as large as the page: parsed for every page, a long replay would take quadratic time. They are held
 * for a moment only, so that a reader that never reads holds none, and what is forgotten is soon gone from here, too.
 */

/** From the parsing on, ms: also how long a replay may go on after its response has expired. */
const HOLD_MS = 1_000;
/** Of snapshots, as they are stored. A single larger one is held all the same. */
const MOST_BYTES = 16 * 1024 * 1024;

/** Without its size when it has not ended: then it can change, and is not held. */
export type Parsed = { response: Response; bytes: number | undefined };

type Held = { response: Response; bytes: number; timer: Timer };

export class ReplayedResponses {
  readonly #held = new Map<number, Held>();
  #bytes = 0;

  /** @param parse is asked for what is not here; what it rejects with comes out */
  async get(clock: Clock, no: number, parse: () => Promise<Parsed>): Promise<Response> {
    const held = this.#held.get(no);
    if (held !== undefined) return held.response;
    const { response, bytes } = await parse();
    if (bytes !== undefined) this.#hold(clock, no, response, bytes);
    return response;
  }

  #hold(clock: Clock, no: number, response: Response, bytes: number): void {
    this.#drop(no);
    const timer = clock.timer(HOLD_MS, () => {
      this.#drop(no);
    });
    this.#held.set(no, { response, bytes, timer });
    this.#bytes += bytes;
    for (const oldest of this.#held.keys()) {
      if (this.#bytes <= MOST_BYTES || oldest === no) return;
      this.#drop(oldest);
    }
  }

  #drop(no: number): void {
    const held = this.#held.get(no);
    if (held === undefined) return;
    held.timer.cancel();
    this.#held.delete(no);
    this.#bytes -= held.bytes;
  }
}
