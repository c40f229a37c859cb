import assert from 'node:assert/strict';
import type { TestHolt } from '../support/holt.ts';
import { Receiver } from '../support/webhook-receiver.ts';
import type { Hit } from '../support/webhook-receiver.ts';
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
import { subscribe } from './webhook-endpoint.ts';

/** How many rounds ended in each way. */
export type Ends = ReadonlyMap<string, number>;

const SCRIPT = { tokens: 5, interval_ms: 1 };
/** Rounds at once. */
const WIDTH = 8;

/**
 * A cancel against the end of a short response, at another event in every round: one end, and everybody is told the
 * same one, by the cancel, by the live stream, by a poll, by a replay and by one webhook. `holt` has to allow receivers
 * on this machine.
 */
export async function raceCancels(holt: TestHolt, rounds: number): Promise<Ends> {
  const ends = new Map<string, number>();
  const told = new Map<string, string>();
  await using receiver = await Receiver.start();
  const endpoint = await subscribe(holt, receiver.url());
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
    told.set(id, `response.${cancelled.status}`);
    ends.set(cancelled.status, (ends.get(cancelled.status) ?? 0) + 1);
  };
  for (let done = 0; done < rounds; done += WIDTH) {
    await Promise.all(Array.from({ length: WIDTH }, (_, index) => round(1 + ((done + index) % length))));
  }
  const hits = await receiver.until((all) => eventsIn(all, told).length >= told.size, 'a webhook of every end');
  assert.deepEqual(new Map(eventsIn(hits, told)), told);
  assert.equal(new Set(hits.map(({ headers }) => headers['webhook-id'])).size, hits.length, 'each end is told once');
  await holt.client.webhooks.delete(endpoint.id);
  return ends;
}

/** Response and type of what was told about the responses of the race. */
function eventsIn(hits: readonly Hit[], raced: ReadonlyMap<string, string>): [id: string, type: string][] {
  return hits
    .map(({ body }) => JSON.parse(body) as { type: string; data: { id: string } })
    .filter(({ data }) => raced.has(data.id))
    .map(({ type, data }): [string, string] => [data.id, type]);
}
