import { apiError } from '../../domain/errors.ts';

/** What a request's metadata tells the demonstration model to do. */
export type Script = {
  tokens: number;
  firstTokenMs: number;
  intervalMs: number;
  reasoningTokens: number;
  /** A tool to call once; the story follows when its output is in the input. */
  toolCall: string | undefined;
  /** Fails after so many tokens. */
  failAfter: number | undefined;
  seed: number;
};

const MAX_TOKENS = 100_000;
const MAX_MS = 3_600_000;

/** Throws a 400 that names the key. Other metadata keys are plain metadata. */
export function readScript(metadata: Record<string, string>): Script {
  for (const key of Object.keys(metadata)) {
    if (key.startsWith(PREFIX) && !KEYS.has(key.slice(PREFIX.length))) {
      throw apiError('invalid_value', {
        param: `metadata.${key}`,
        reason: `is no setting of the demonstration model; it knows ${[...KEYS].map((name) => PREFIX + name).join(', ')}`,
      });
    }
  }
  return {
    tokens: number(metadata, 'tokens', 400, MAX_TOKENS) ?? 0,
    firstTokenMs: number(metadata, 'first_token_ms', 50, MAX_MS) ?? 0,
    intervalMs: number(metadata, 'interval_ms', 15, MAX_MS) ?? 0,
    reasoningTokens: number(metadata, 'reasoning_tokens', 0, MAX_TOKENS) ?? 0,
    toolCall: metadata[`${PREFIX}tool_call`],
    failAfter: number(metadata, 'fail_after', undefined, MAX_TOKENS),
    seed: number(metadata, 'seed', 1, Number.MAX_SAFE_INTEGER) ?? 1,
  };
}

const PREFIX = 'scripted.';
const KEYS = new Set([
  'tokens',
  'first_token_ms',
  'interval_ms',
  'reasoning_tokens',
  'tool_call',
  'fail_after',
  'seed',
]);

function number(
  metadata: Record<string, string>,
  name: string,
  fallback: number | undefined,
  max: number,
): number | undefined {
  const text = metadata[PREFIX + name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > max) {
    throw apiError('invalid_value', {
      param: `metadata.${PREFIX}${name}`,
      reason: `must be a whole number from 0 to ${max}`,
    });
  }
  return value;
}
