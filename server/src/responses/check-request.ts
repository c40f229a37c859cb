import { apiError } from '../domain/errors.ts';
import type { Log } from '../domain/ports.ts';
import type { RetentionMode } from '../domain/retention.ts';
import { createResponseBody } from '../protocol/create-response.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';
import { checkToolNames } from './check-tools.ts';

/**
 * No flag is accepted and ignored (promise 8): what Holt as a whole can't honour is refused here, by name. What a
 * lenient model may go without is looked at in `serve-request.ts`.
 */

/** Sampling names of other APIs: whoever sends one expects an effect. */
const FOREIGN = [
  'stop',
  'seed',
  'n',
  'logit_bias',
  'frequency_penalty',
  'presence_penalty',
  'logprobs',
  'max_tokens',
  'max_completion_tokens',
  'messages',
  'functions',
  'function_call',
  'response_format',
  'reasoning_effort',
  'top_k',
  'min_p',
];

/** Known to the official description and not served: null is what it means to leave them out. */
const UNSERVED: Partial<Record<keyof CreateResponseBody, string>> = {
  prompt: 'is not served: this server keeps no prompt templates',
  context_management: 'is not served',
};

/** @param raw the body as it came, for its unknown keys */
export function checkRequest(
  raw: object,
  body: CreateResponseBody,
  { strict, retention }: { strict: boolean; retention: RetentionMode },
  log: Log,
): void {
  checkKeys(raw, createResponseBody.shape, { strict, log });
  for (const [key, reason] of Object.entries(UNSERVED)) {
    const value = body[key as keyof CreateResponseBody];
    if (value !== null && value !== undefined) throw apiError('unsupported_parameter', { param: key, reason });
  }
  if (body.model === null || body.model === undefined || body.model === '') {
    throw apiError('missing_required_parameter', { param: 'model' });
  }
  if (body.input === null || body.input === undefined) throw apiError('missing_required_parameter', { param: 'input' });
  const zdr = retention === 'zero_data_retention';
  if (body.background === true && body.store === false && !zdr) throw apiError('background_needs_store');
  if ((body.conversation ?? null) !== null && (body.store === false || zdr)) {
    throw zdr ? apiError('conversation_kept', { param: 'conversation' }) : apiError('conversation_needs_store');
  }
  if (body.stream !== true && body.stream_options !== null && body.stream_options !== undefined) {
    throw apiError('invalid_value', { param: 'stream_options', reason: "is only allowed when 'stream' is true" });
  }
  checkToolNames(body);
}

/**
 * Keys that the schema does not know: a 400 in strict mode and for names that promise an effect, else a log line.
 * @param promising further names that do so here, unless they are null or false
 */
export function checkKeys(
  raw: object,
  shape: object,
  { strict, log, promising = [] }: { strict: boolean; log: Log; promising?: readonly string[] },
): void {
  const unknown = Object.entries(raw).filter(([key]) => !Object.hasOwn(shape, key));
  for (const [key, value] of unknown) {
    const promises = FOREIGN.includes(key) || (promising.includes(key) && value !== null && value !== false);
    if (strict || promises) throw apiError('unknown_parameter', { param: key });
  }
  // Their names are a client's words.
  if (unknown.length > 0) log.info({ count: unknown.length }, 'ignored unknown parameters');
}
