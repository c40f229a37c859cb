import type { Annotation, Logprob } from '../protocol/items.ts';
import type { ResponseErrorCode } from '../protocol/response.ts';
import type { ErrorName } from './errors.ts';

export type UpstreamUsage = {
  inputTokens: number;
  outputTokens: number;
  cachedTokens?: number;
  cacheWriteTokens?: number;
  reasoningTokens?: number;
};

export type FinishReason = 'stop' | 'length' | 'content_filter' | 'tool_calls';

/** Why an upstream call failed, in terms that both the foreground (HTTP) and the background (`response.error`) need. */
export type UpstreamFailure = {
  code: ResponseErrorCode;
  message: string;
  /** Worth another try, provided that nothing has been shown of this one. */
  retryable: boolean;
  /** What the upstream asked for, in ms. */
  retryAfterMs?: number;
  /** The row of the error table that a foreground client gets while nothing has been sent yet. */
  row: ErrorName;
  param?: string;
};

/**
 * What a provider says of a running generation, whatever its own wire is (upstream.md §0). Providers know no ids and
 * no numbers of ours: the assembler owns them. One upstream delta is one event.
 */
export type UpstreamEvent =
  /** `serviceTier` is the one that was used, if the upstream has such. */
  | { type: 'meta'; upstreamId?: string; model?: string; serviceTier?: string }
  | { type: 'text'; delta: string; logprobs?: Logprob[] }
  | { type: 'refusal'; delta: string }
  | { type: 'reasoning'; delta: string; kind: 'text' | 'summary' }
  | { type: 'annotation'; annotation: Annotation }
  /**
   * `key` tells the calls of one generation apart. Name, id and arguments may come in any order and in pieces. The
   * kind, a function if there is none, and the namespace come with the name at the latest. The arguments of a custom
   * tool are its input. `received`: characters that came in, where `arguments` are others, since some have to wait
   * until it is known what they are, and some are no part of an input.
   */
  | {
      type: 'tool_call';
      key: string;
      kind?: 'function' | 'custom';
      callId?: string;
      namespace?: string;
      name?: string;
      arguments?: string;
      received?: number;
    }
  | ({ type: 'usage' } & UpstreamUsage)
  | { type: 'finish'; reason: FinishReason }
  | ({ type: 'error' } & UpstreamFailure)
  /** A comment or a ping: the upstream lives. */
  | { type: 'alive' };
