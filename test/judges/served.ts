import assert from 'node:assert/strict';
import { spawnHolt } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import { startJudgingProxy } from '../support/judging-proxy.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Script, Upstream } from '../support/upstream.ts';

/** What every client talks to: a Holt process in front of an upstream whose models follow their conversation. */

export type Served = AsyncDisposable & {
  holt: HoltProcess;
  upstream: Upstream;
  /** With `/v1`, as clients want it. */
  baseURL: string;
  /** What the upstream was sent for a model, in order. */
  sentTo(model: string): Promise<ChatRequest[]>;
};

/** As much of a Chat Completions request as judges look at. */
export type ChatRequest = {
  messages: {
    role: string;
    content?: unknown;
    tool_calls?: { id: string }[];
    tool_call_id?: string;
    reasoning_content?: string;
  }[];
  response_format?: { type: string };
};

export const WEATHER = { name: 'get_weather', arguments: { city: 'Paris' } };
const THOUGHT = 'The tool knows.';
export const ANIMAL = { name: 'otter', legs: 4 };
/** One red pixel. */
export const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';

/** A name for every kind of request, so that a test finds its own at the upstream. */
const MODELS: Record<string, Script> = {
  talker: { agent: {} },
  caller: { agent: { call: WEATHER, thought: THOUGHT } },
  // The Agents SDK compacts with models of OpenAI's names only.
  'gpt-4.1': { agent: {} },
  watcher: { agent: { call: WEATHER } },
  scribe: { agent: { call: { name: 'note', arguments: { input: 'It says "hello".' } } } },
  seer: { agent: {} },
  writer: { agent: { json: ANIMAL } },
  waiter: { agent: { gate: 'half' } },
  /** Whoever talks to it lets the waiter go on. */
  opener: { steps: [{ release: 'half' }, { delta: { content: 'Go on.' } }, { finish: 'stop' }, { done: true }] },
  busy: { reply: { status: 429, body: { error: { message: 'Too many requests.', type: 'requests', code: null } } } },
  dying: { steps: [{ delta: { content: 'I was about to' } }, { end: true }] },
};

/** @param flags of Holt's, besides the upstream */
export async function serve(flags: string[] = []): Promise<Served> {
  const upstream = await startUpstream();
  await Promise.all(Object.entries(MODELS).map(([model, script]) => upstream.script(model, script)));
  const holt = await spawnHolt({ flags: ['--upstream', upstream.url, ...flags] });
  const proxy = await startJudgingProxy(holt.url);
  return {
    holt,
    upstream,
    baseURL: `${proxy.url}/v1`,
    sentTo: async (model) => (await upstream.requests(model)).map(({ body }) => body as ChatRequest),
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await holt.stop();
      await upstream.stop();
      // What the clients have read is as the official document has it.
      assert.deepEqual(proxy.complaints, []);
    },
  };
}

/**
 * The last request for a model has this tool output, and right before it the call that it answers, with the thoughts
 * that led to the call: models want them back.
 */
export function assertPaired(requests: ChatRequest[], output: string): void {
  const [call, answer] = requests.at(-1)?.messages.slice(-2) ?? [];
  assert.ok(call !== undefined && answer !== undefined);
  assert.deepEqual([call.role, answer.role], ['assistant', 'tool']);
  assert.deepEqual(
    call.tool_calls?.map(({ id }) => id),
    [answer.tool_call_id],
  );
  assert.equal(answer.content, output);
  assert.equal(call.reasoning_content, THOUGHT);
}

/** The only request for a model shows this image to it. */
export function assertSeen(requests: ChatRequest[], url = PIXEL): void {
  assert.equal(requests.length, 1);
  assert.ok(JSON.stringify(requests[0]?.messages.at(-1)).includes(url));
}
