/**
 * A chunk: the encoded events of one flush, at place `n` of a response's log. A fence is a chunk without events
 * that only takes a place away from an owner of an older epoch.
 */
export type Chunk = {
  n: number;
  /** sequence_number of its first event; of the next event, for a fence. */
  firstSequence: number;
  count: number;
  epoch: number;
  /** The last chunk of a log: nothing is accepted after it. */
  closed: boolean;
  body: Uint8Array;
};

export type ChunkPage = {
  chunks: { firstSequence: number; count: number; body: Uint8Array }[];
  /** Whether the last chunk of the log is among `chunks`, or before the cursor. */
  closed: boolean;
};
