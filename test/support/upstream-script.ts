/** What the scripted upstream is told to do: the words both of its processes share. */

/**
 * Where the bytes of the following sends are cut; every piece is a write and an HTTP chunk of its own. `utf8`: inside
 * each multi-byte sequence. `crlf`: between \r and \n. `data`: inside the field name and before its space. `bytes`:
 * everywhere.
 */
export type Tear = 'none' | 'utf8' | 'crlf' | 'data' | 'bytes';

export type Step =
  /** Text as it is. */
  | { send: string }
  /** Raw bytes, as numbers or in base64. */
  | { bytes: number[] | string }
  /** One `data:` line with this JSON. */
  | { chunk: object }
  /** A `chat.completion.chunk` with this delta in choice 0, and what else the choice is to have. */
  | { delta: object; choice?: object }
  /** A chunk whose choice 0 has only a finish reason, with the usage if there is one. */
  | { finish: string; usage?: object }
  /** That many deltas of `text`, `intervalMs` apart; 0 is as fast as the reader reads. `bare`: without a chunk around. */
  | { tokens: number; intervalMs?: number; text?: string; bare?: boolean }
  | { tear: Tear }
  /** Stalls until `release(name)`. */
  | { gate: string }
  /** Opens a gate, as `release(name)` does: for clients that have no other word with the upstream. */
  | { release: string }
  | { delayMs: number }
  /** `data: [DONE]`, then the end of the body. */
  | { done: true }
  /** `data: [DONE]` without the end of the body: the connection stays open. */
  | { doneButOpen: true }
  /** The end of the body, as an upstream does that dies politely. */
  | { end: true }
  /** The socket is reset. */
  | { reset: true };

/** A model that follows its conversation (upstream-agent.ts). */
export type Agent = {
  /** The tool that it calls when a user has spoken and this tool is offered. */
  call?: { name: string; arguments: object };
  /** What it thinks before a call. */
  thought?: string;
  /** What it says where a JSON schema is asked for. */
  json?: object;
  /** Stalls there when it has said about half of a text. */
  gate?: string;
};

/** An HTTP reply that is not a stream. An object is sent as JSON. */
export type Reply = { status: number; headers?: Record<string, string>; body?: string | object };

export type Script = {
  /** Without an `end`, `done` or `reset` at the end the body is ended after the last step. */
  steps?: Step[];
  /** Of the 200 that comes before the steps; the default content type is text/event-stream. */
  headers?: Record<string, string>;
  /** Stalls before the head of the reply until `release(name)`. */
  headersGate?: string;
  /** Instead of the steps. */
  reply?: Reply;
  /** Instead of the steps: what it says depends on what it is asked. */
  agent?: Agent;
  /** Replies for the first requests, one each; the ones after them get the rest of the script. */
  first?: Reply[];
};

export type RecordedRequest = {
  model: string;
  method: string;
  path: string;
  headers: Record<string, string | string[] | undefined>;
  body: Record<string, unknown>;
  /** The client's, which tells connections apart. */
  port: number;
  /** Who closed the connection before the reply was complete. */
  closedBy: 'client' | 'server' | null;
};

export const DEFAULT_SCRIPT: Script = {
  steps: [
    { delta: { role: 'assistant', content: '' } },
    ...['Hello', ' from', ' the', ' upstream.'].map((content) => ({ delta: { content } })),
    { finish: 'stop' },
    { chunk: { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 } } },
    { done: true },
  ],
};
