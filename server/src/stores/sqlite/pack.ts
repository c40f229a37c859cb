import type { Append, End } from '../../domain/ports.ts';

/** Appends as two flat arrays and one buffer: cloning a hundred small objects costs more than writing them. */

const FIELDS = 7;

export type PackedAppends = { fields: number[]; ends: (End | undefined)[]; bodies: Uint8Array<ArrayBuffer> };

export function packAppends(appends: readonly Append[]): PackedAppends {
  const bodies = new Uint8Array(appends.reduce((sum, { chunk }) => sum + chunk.body.length, 0));
  const fields: number[] = [];
  let offset = 0;
  for (const { no, chunk } of appends) {
    fields.push(no, chunk.n, chunk.firstSequence, chunk.count, chunk.epoch, chunk.closed ? 1 : 0, chunk.body.length);
    bodies.set(chunk.body, offset);
    offset += chunk.body.length;
  }
  return { fields, ends: appends.map(({ end }) => end), bodies };
}

export function unpackAppends({ fields, ends, bodies }: PackedAppends): Append[] {
  let offset = 0;
  return ends.map((end, index) => {
    const [no = 0, n = 0, firstSequence = 0, count = 0, epoch = 0, closed = 0, length = 0] = fields.slice(
      index * FIELDS,
      (index + 1) * FIELDS,
    );
    const body = bodies.subarray(offset, offset + length);
    offset += length;
    const chunk = { n, firstSequence, count, epoch, closed: closed === 1, body };
    return end === undefined ? { no, chunk } : { no, chunk, end };
  });
}
