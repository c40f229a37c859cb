import assert from 'node:assert/strict';
import { parseFrames, streamFrames, streamText } from '../support/sse.ts';
import {
  EventReader,
  assertWholeStream,
  cancel,
  get,
  idIn,
  jsonRequest,
  otter,
  responseIn,
  responseOf,
  streamUrl,
} from './wire.ts';
import type { Served } from './wire.ts';

/** How many rounds ended in each way. */
export type Ends = ReadonlyMap<string, number>;

const SCRIPT = { tokens: 5, interval_ms: 1 };
/** Rounds at once. */
const WIDTH = 8;

/**
 * A cancel against the end of a short response, at another event in every round: one end, and everybody is told the
 * same one, by the cancel, by the live stream, by a poll and by a replay.
 */
export async function raceCancels(holt: Served, rounds: number): Promise<Ends> {
  const ends = new Map<string, number>();
  const whole = otter(SCRIPT, { background: true, stream: true });
  const { length } = await streamFrames(`${holt.url}/v1/responses`, jsonRequest(whole));
  const round = async (patience: number): Promise<void> => {
    const reader = await EventReader.create(holt, otter(SCRIPT, { background: true }));
    const id = idIn((await reader.take(patience))[0]);
    const reading = reader.rest();
    const answer = await cancel(holt, id);
    const cancelled = responseIn(answer);
    await reading;
    assert.ok(cancelled.status === 'cancelled' || cancelled.status === 'completed', cancelled.status);
    const frames = parseFrames(reader.text);
    assertWholeStream(frames);
    assert.deepEqual(responseOf(frames.at(-1)), cancelled);
    assert.equal((await get(holt, `responses/${id}`)).text, answer.text);
    assert.equal(await streamText(streamUrl(holt, id)), reader.text);
    ends.set(cancelled.status, (ends.get(cancelled.status) ?? 0) + 1);
  };
  for (let done = 0; done < rounds; done += WIDTH) {
    await Promise.all(Array.from({ length: WIDTH }, (_, index) => round(1 + ((done + index) % length))));
  }
  return ends;
}
