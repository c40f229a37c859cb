import assert from 'node:assert/strict';
import { judgeEvent } from './official.ts';

/** Raw streams, byte by byte: what a client library would hide. */

export type Frame = {
  event: string;
  data: { type: string; sequence_number: number; [key: string]: unknown };
  text: string;
};

/**
 * The frames of a whole stream. Fails on anything that is neither a frame nor a comment, and on an event that is none of
 * the official document's.
 */
export function parseFrames(text: string): Frame[] {
  const frames: Frame[] = [];
  for (const block of text.split('\n\n')) {
    if (block === '' || block.startsWith(':')) continue;
    const [, event, data] = /^event: (\S+)\ndata: (\{[^\n]*\})$/.exec(block) ?? [];
    assert.ok(event !== undefined && data !== undefined, `not a frame: ${JSON.stringify(block.slice(0, 200))}`);
    const frame: Frame = { event, data: JSON.parse(data) as Frame['data'], text: block };
    judgeEvent(frame.data);
    frames.push(frame);
  }
  return frames;
}

/** The whole of a stream's text; rejects when the connection was cut instead of closed. */
export async function streamText(url: string, init?: RequestInit): Promise<string> {
  const answer = await fetch(url, init);
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.text();
}

export async function streamFrames(url: string, init?: RequestInit): Promise<Frame[]> {
  return parseFrames(await streamText(url, init));
}
