import type { ErrorName } from '../../domain/errors.ts';
import type { Clock } from '../../domain/ports.ts';
import type { UpstreamFailure } from '../../domain/upstream-event.ts';
import type { ResponseErrorCode } from '../../protocol/response.ts';
import { readErrorBody, readErrorObject } from './error-body.ts';
import type { Complaint } from './error-body.ts';
import { asObject, asText } from './json.ts';
import { mapParam } from './map-param.ts';
import { retryAfterMs } from './retry-after.ts';
import type { Headers } from './retry-after.ts';

/** Upstream failures in our terms (upstream.md §3b). What a client reads never names the operator's key or hosts. */

type Kind = 'refused_us' | 'quota' | 'rate_limited' | 'context' | 'model' | 'rejected' | 'transient' | 'broken';
type Meaning = { row: ErrorName; code: ResponseErrorCode; retryable: boolean };

const MEANING: Record<Kind, Meaning> = {
  refused_us: { row: 'upstream_failed', code: 'server_error', retryable: false },
  quota: { row: 'upstream_quota', code: 'rate_limit_exceeded', retryable: false },
  rate_limited: { row: 'upstream_rate_limited', code: 'rate_limit_exceeded', retryable: true },
  context: { row: 'context_length_exceeded', code: 'invalid_prompt', retryable: false },
  model: { row: 'model_not_found', code: 'invalid_prompt', retryable: false },
  rejected: { row: 'upstream_rejected', code: 'invalid_prompt', retryable: false },
  transient: { row: 'upstream_failed', code: 'server_error', retryable: true },
  broken: { row: 'upstream_failed', code: 'server_error', retryable: false },
};

/** Server errors that may be over at the next try; 520 to 529 are proxies' words. */
const PASSING: ReadonlySet<number> = new Set([500, 502, 503, 504, 520, 521, 522, 523, 524, 529]);

/** `model` is the name the client asked for; `secret` is what must not come back in a message. */
export type ErrorContext = { model: string; secret: string | undefined; clock: Clock };

const MESSAGE_CHARACTERS = 2_000;

/** An HTTP reply that is not a 2xx. */
export function mapHttpError(status: number, headers: Headers, body: string, context: ErrorContext): UpstreamFailure {
  const complaint = readErrorBody(body);
  const kind = kindOf(status, complaint);
  const failure = failureOf(kind, complaint, context, `The upstream answered with HTTP ${status}.`);
  const wait = retryAfterMs(headers, context.clock);
  // OpenAI's own clients let this header overrule the status.
  const should = headers['x-should-retry'];
  return {
    ...failure,
    ...(wait !== undefined && { retryAfterMs: wait }),
    ...((should === 'true' || should === 'false') && { retryable: should === 'true' }),
  };
}

/** An error that came inside a reply with status 200. */
export function mapStreamError(error: unknown, context: ErrorContext): UpstreamFailure {
  const complaint = readErrorObject(error);
  const status = complaint.status ?? statusOfWords(`${complaint.code ?? ''} ${complaint.type ?? ''}`.toLowerCase());
  return failureOf(kindOf(status, complaint), complaint, context, 'The upstream reported an error.');
}

/** A connection that could not be made or did not hold. */
export function mapNetworkError(error: unknown): UpstreamFailure {
  return upstreamFailed(`The connection to the upstream failed (${networkCode(error)}).`, true);
}

/** A failure the upstream has no words for. */
export function upstreamFailed(message: string, retryable: boolean): UpstreamFailure {
  return { ...MEANING[retryable ? 'transient' : 'broken'], message };
}

/** The system's name of a network error, which unlike its message holds no address. */
export function networkCode(error: unknown): string {
  return asText(asObject(error)?.['code']) ?? (error instanceof Error ? error.name : 'unknown');
}

function kindOf(status: number, complaint: Complaint): Kind {
  if (status === 401 || status === 403 || status === 407) return 'refused_us';
  const words = `${complaint.code ?? ''} ${complaint.type ?? ''}`.toLowerCase();
  if (status === 402 || words.includes('insufficient_quota')) return 'quota';
  if (status === 429) return 'rate_limited';
  if (status === 408 || status === 409) return 'transient';
  if (status === 404) return namesModel(complaint, words) ? 'model' : 'broken';
  if (status === 400 || status === 413 || status === 422) return kindOfRejection(complaint, words);
  return PASSING.has(status) ? 'transient' : 'broken';
}

const TOO_LONG =
  /context[ _-]?(length|window|size)|maximum (context|prompt|input) length|(prompt|input) is too long|too many (input )?tokens/i;

function kindOfRejection(complaint: Complaint, words: string): Kind {
  if (/context_length|context_size/.test(words) || TOO_LONG.test(complaint.message ?? '')) return 'context';
  return words.includes('model_not_found') ? 'model' : 'rejected';
}

/** A 404 is about the model if it says so; otherwise the base URL is wrong, and that is the operator's matter. */
function namesModel(complaint: Complaint, words: string): boolean {
  return words.includes('model_not_found') || /model|endpoints found/i.test(complaint.message ?? '');
}

function statusOfWords(words: string): number {
  if (words.includes('rate_limit')) return 429;
  if (/invalid_request|badrequest|bad_request|context_|validation/.test(words)) return 400;
  if (/authentication|permission|invalid_api_key/.test(words)) return 401;
  if (words.includes('not_found')) return 404;
  return 500;
}

function failureOf(kind: Kind, complaint: Complaint, context: ErrorContext, otherwise: string): UpstreamFailure {
  const param = kind === 'rejected' && complaint.param !== undefined ? mapParam(complaint.param) : undefined;
  return {
    ...MEANING[kind],
    message: messageOf(kind, complaint, context, otherwise),
    ...(param !== undefined && { param }),
  };
}

function messageOf(kind: Kind, complaint: Complaint, context: ErrorContext, otherwise: string): string {
  if (kind === 'refused_us') return "The upstream refused this server's credentials.";
  if (kind === 'model') return `The requested model '${context.model}' does not exist.`;
  const said = complaint.message ?? otherwise;
  const clean = context.secret === undefined ? said : said.replaceAll(context.secret, '***');
  return clean.length > MESSAGE_CHARACTERS ? `${clean.slice(0, MESSAGE_CHARACTERS)}…` : clean;
}
