import type { ErrorEnvelope } from '../protocol/error-envelope.ts';

/**
 * THE error table: every error a client can see over HTTP is a row here, and a throw names its row (contract.md §5).
 * `{name}` in a message is filled from the arguments of `apiError`. 409, 408 and 5xx make the official clients retry,
 * so no row for a permanent condition has such a status; `retry` says what those clients should do instead, and is left
 * out where nobody knows.
 */
type Row = {
  status: number;
  type: string;
  code: string | null;
  message: string;
  param?: string;
  retry?: boolean;
  /** Seconds, where the throw knows no better. */
  retryAfter?: number;
};

const invalid = 'invalid_request_error';

export const ERRORS = {
  invalid_api_key: {
    status: 401,
    type: invalid,
    code: 'invalid_api_key',
    message:
      'Incorrect API key provided: {mask}. It is unknown to this server, or does not count any more. Whoever runs the server has the keys.',
  },
  mismatched_organization: {
    status: 401,
    type: invalid,
    code: 'mismatched_organization',
    message:
      "OpenAI-Organization header should match organization for API key: there is only 'holt' here, not '{got}'.",
  },
  mismatched_project: {
    status: 401,
    type: invalid,
    code: 'mismatched_project',
    message: "OpenAI-Project header should match project for API key, which '{got}' is not.",
  },
  missing_api_key: {
    status: 401,
    type: invalid,
    code: null,
    message:
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
  },
  /** While the request was under way. */
  project_deleted: {
    status: 401,
    type: invalid,
    code: 'invalid_api_key',
    message: 'The project of this API key was deleted.',
  },
  missing_admin_key: {
    status: 401,
    type: invalid,
    code: null,
    message:
      "This is for whoever runs the server, and you didn't provide its admin key. Send it in an Authorization header using Bearer auth: HOLT_ADMIN_KEY, or what admin.key in the data directory holds.",
  },
  invalid_admin_key: {
    status: 401,
    type: invalid,
    code: 'invalid_admin_key',
    message:
      'Incorrect admin key provided: {mask}. It is HOLT_ADMIN_KEY, or what admin.key in the data directory holds; an API key is none.',
  },
  foreign_origin: {
    status: 403,
    type: invalid,
    code: 'foreign_origin',
    message:
      'This server runs without an API key and therefore answers only programs on its own machine: {header} {value} is not one of its own names. Set HOLT_API_KEY, or make a key for a project, to open it.',
  },
  metrics_of_all: {
    status: 403,
    type: invalid,
    code: 'metrics_of_all',
    message:
      'The figures are those of all projects: they are shown to keys of the project default only. Whoever runs the server can open them with server.metrics.',
  },
  invalid_json: {
    status: 400,
    type: invalid,
    code: null,
    message:
      'We could not parse the JSON body of your request. (HINT: This likely means you aren’t using your HTTP library correctly. The API expects a JSON payload, but what was sent was not valid JSON: {reason})',
  },
  malformed_request: { status: 400, type: invalid, code: null, message: 'The request could not be read: {reason}' },
  headers_too_large: {
    status: 431,
    type: invalid,
    code: null,
    message: 'The headers of the request are larger than this server accepts.',
  },
  request_too_large: {
    status: 413,
    type: invalid,
    code: 'request_too_large',
    message: 'The request body is larger than the {limit} bytes this server accepts.',
  },
  /** Nothing of it was done, so it can be sent again. */
  request_timeout: {
    status: 408,
    type: invalid,
    code: 'request_timeout',
    retry: true,
    message:
      'The request was not complete in time: this server waits {headers} seconds for the headers of a request, and {request} seconds for all of it.',
  },
  unknown_url: { status: 404, type: invalid, code: 'unknown_url', message: 'Invalid URL ({method} {url})' },
  missing_required_parameter: {
    status: 400,
    type: invalid,
    code: 'missing_required_parameter',
    message: "Missing required parameter: '{param}'.",
  },
  unknown_parameter: {
    status: 400,
    type: invalid,
    code: 'unknown_parameter',
    message: "Unknown parameter: '{param}'.",
  },
  unsupported_parameter: {
    status: 400,
    type: invalid,
    code: 'unsupported_parameter',
    message: "Unsupported parameter: '{param}' {reason}.",
  },
  unsupported_value: {
    status: 400,
    type: invalid,
    code: 'unsupported_value',
    message: "Unsupported value: '{param}' {reason}.",
  },
  invalid_type: {
    status: 400,
    type: invalid,
    code: 'invalid_type',
    message: "Invalid type for '{param}': expected {expected}, but got {got} instead.",
  },
  invalid_value: { status: 400, type: invalid, code: 'invalid_value', message: "Invalid value: '{param}' {reason}." },
  /** Ranges and lengths: the code is one of the official ones and comes with the arguments. */
  out_of_range: { status: 400, type: invalid, code: 'invalid_value', message: "Invalid '{param}': {reason}" },
  background_needs_store: {
    status: 400,
    type: invalid,
    code: 'unsupported_parameter',
    param: 'background',
    message: "Background mode requires 'store' to be true.",
  },
  idempotency_key_needs_background: {
    status: 400,
    type: invalid,
    code: 'unsupported_parameter',
    param: 'Idempotency-Key',
    message:
      "Unsupported header: 'Idempotency-Key' requires background mode, since a request without it is not stored while it runs. Set 'background' to true.",
  },
  idempotency_key_reused: {
    status: 400,
    type: invalid,
    code: 'idempotency_key_reused',
    param: 'Idempotency-Key',
    retry: false,
    message:
      'This Idempotency-Key was used before with another request body. Use another key for another request; the response of the first one is unchanged.',
  },
  replay_expired: {
    status: 400,
    type: invalid,
    code: invalid,
    param: 'stream',
    message:
      "The response of this Idempotency-Key is '{id}'. It can no longer be streamed because it is more than {minutes} minutes old; retrieve it without stream.",
  },
  model_not_found: {
    status: 400,
    type: invalid,
    code: 'model_not_found',
    param: 'model',
    message: "The requested model '{model}' does not exist.",
  },
  model_unknown: {
    status: 404,
    type: invalid,
    code: 'model_not_found',
    param: 'model',
    message: "The model '{model}' does not exist.",
  },
  tool_output_missing: {
    status: 400,
    type: invalid,
    code: null,
    param: 'input',
    message: 'No tool output found for function call {call}.',
  },
  tool_call_missing: {
    status: 400,
    type: invalid,
    code: null,
    param: 'input',
    message: 'No tool call found for function call output with call_id {call}.',
  },
  custom_tool_output_missing: {
    status: 400,
    type: invalid,
    code: null,
    param: 'input',
    message: 'No tool output found for custom tool call {call}.',
  },
  custom_tool_call_missing: {
    status: 400,
    type: invalid,
    code: null,
    param: 'input',
    message: 'No tool call found for custom tool call output with call_id {call}.',
  },
  previous_response_not_found: {
    status: 400,
    type: invalid,
    code: 'previous_response_not_found',
    param: 'previous_response_id',
    message: "Previous response with id '{id}' not found.",
  },
  history_twice: {
    status: 400,
    type: invalid,
    code: 'invalid_value',
    param: 'previous_response_id',
    message: "Invalid value: 'previous_response_id' and 'conversation' can't be used together.",
  },
  history_too_large: {
    status: 400,
    type: invalid,
    code: 'context_length_exceeded',
    message: 'What came before this request is larger than this server reads at once.',
  },
  references_too_large: {
    status: 400,
    type: invalid,
    code: 'context_length_exceeded',
    param: 'input',
    message: 'What the items of this request refer to is larger than this server reads at once.',
  },
  conversation_not_found: {
    status: 404,
    type: invalid,
    code: null,
    message: "Conversation with id '{id}' not found.",
  },
  conversation_locked: {
    status: 400,
    type: invalid,
    code: 'conversation_locked',
    param: 'conversation',
    retry: true,
    retryAfter: 2,
    message: 'Another process is currently operating on this conversation. Please retry in a few seconds.',
  },
  conversation_needs_store: {
    status: 400,
    type: invalid,
    code: 'unsupported_parameter',
    param: 'conversation',
    message: "A conversation keeps what is said in it, so it requires 'store' to be true.",
  },
  conversation_kept: {
    status: 400,
    type: invalid,
    code: 'unsupported_parameter',
    message:
      'A conversation keeps what is said in it, and this server keeps nothing: it runs with zero data retention. Send what came before as input.',
  },
  conversation_item_not_found: {
    status: 404,
    type: invalid,
    code: null,
    message: "Item with id '{item}' not found in conversation '{id}'.",
  },
  conversation_item_exists: {
    status: 400,
    type: invalid,
    code: 'invalid_value',
    param: 'items',
    message: 'The conversation has an item of one of these ids already.',
  },
  compaction_unreadable: {
    status: 400,
    type: invalid,
    code: 'invalid_encrypted_content',
    message: 'This compaction was not made by this server, or its secret is no longer known here.',
  },
  referenced_item_not_found: {
    status: 404,
    type: invalid,
    code: null,
    param: 'input',
    message:
      "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input.",
  },
  response_not_found: { status: 404, type: invalid, code: null, message: "Response with id '{id}' not found." },
  not_streamable_foreground: {
    status: 400,
    type: invalid,
    code: invalid,
    param: 'stream',
    message: 'This response cannot be streamed because it was not created with background=true.',
  },
  not_streamable: {
    status: 400,
    type: invalid,
    code: invalid,
    param: 'stream',
    message: 'This response cannot be streamed because it was not created with stream=true.',
  },
  stream_expired: {
    status: 400,
    type: invalid,
    code: invalid,
    param: 'stream',
    message: 'This response can no longer be streamed because it is more than {minutes} minutes old',
  },
  encrypted_content_of_stored: {
    status: 400,
    type: invalid,
    code: null,
    param: 'include',
    message: 'Encrypted content cannot be requested for persisted responses',
  },
  cancel_synchronous: { status: 400, type: invalid, code: null, message: 'Cannot cancel a synchronous response.' },
  webhook_endpoint_not_found: {
    status: 404,
    type: invalid,
    code: null,
    message: "Webhook endpoint with id '{id}' not found.",
  },
  webhook_delivery_not_found: {
    status: 404,
    type: invalid,
    code: null,
    message: "Delivery with id '{id}' not found at webhook endpoint '{endpoint}'.",
  },
  webhook_endpoint_unreachable: {
    status: 400,
    type: invalid,
    code: 'webhook_endpoint_unreachable',
    param: 'url',
    message: 'The webhook endpoint gave no answer: {reason}',
  },
  webhook_endpoint_disabled: {
    status: 400,
    type: invalid,
    code: 'webhook_endpoint_disabled',
    message: 'Nothing is sent to this webhook endpoint, because {reason}. An update enables it again.',
  },
  project_not_found: { status: 404, type: invalid, code: null, message: "Project with id '{id}' not found." },
  api_key_not_found: {
    status: 404,
    type: invalid,
    code: null,
    message: "API key with id '{id}' not found in project '{project}'.",
  },
  default_project_kept: {
    status: 400,
    type: invalid,
    code: 'default_project_kept',
    message:
      "The project 'default' can't be deleted: it is that of HOLT_API_KEY, and of everybody while there is no key.",
  },
  backup_running: {
    status: 409,
    type: invalid,
    code: 'backup_running',
    retry: true,
    message: 'Another backup is being made. Please try again when it is complete.',
  },
  backup_failed: {
    status: 500,
    type: 'server_error',
    code: 'backup_failed',
    retry: false,
    message: 'The backup could not be made, and nothing is left of it: {reason}',
  },
  item_not_found: {
    status: 400,
    type: invalid,
    code: 'invalid_value',
    param: 'after',
    message: "Item with id '{id}' not found.",
  },
  queue_full: {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    retry: true,
    message: 'The queue of background responses is full ({max} of this project are waiting). Please try again later.',
  },
  no_free_slot: {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    retry: true,
    message:
      'All {concurrency} slots of this server are busy. Please try again later, or use background mode to wait in the queue.',
  },
  rate_limited: {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    retry: true,
    message:
      'Rate limit reached for {scope} on {per}: Limit {limit}, Used {used}, Requested {requested}. Please try again in {seconds}s.',
  },
  /** However long a client waits. */
  request_over_limit: {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    retry: false,
    message:
      'Request too large for {scope} on tokens per min (TPM): Limit {limit}, Requested {requested}. The input or max_output_tokens must be reduced in order to run successfully.',
  },
  too_many_unfinished: {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    retry: true,
    message:
      'Rate limit reached for {scope} on background responses: Limit {limit} queued or running. Please try again when one of them has ended.',
  },
  budget_exceeded: {
    status: 429,
    type: 'insufficient_quota',
    code: 'insufficient_quota',
    retry: false,
    message: 'You exceeded your current quota: {scope} has used {spent} for today. It is renewed at midnight UTC.',
  },
  upstream_rejected: { status: 400, type: invalid, code: null, message: '{message}' },
  context_length_exceeded: {
    status: 400,
    type: invalid,
    code: 'context_length_exceeded',
    param: 'input',
    message: '{message}',
  },
  upstream_rate_limited: {
    status: 429,
    type: 'rate_limit_error',
    code: 'rate_limit_exceeded',
    retry: true,
    retryAfter: 5,
    message: '{message}',
  },
  /** Somebody has to pay first. */
  upstream_quota: {
    status: 429,
    type: 'insufficient_quota',
    code: 'insufficient_quota',
    retry: false,
    message: '{message}',
  },
  /** What is known of the failure decides over the row. */
  upstream_failed: { status: 502, type: 'server_error', code: 'server_error', retry: true, message: '{message}' },
  server_error: {
    status: 500,
    type: 'server_error',
    code: 'server_error',
    message: 'The server had an error while processing your request. Please quote the request id {request_id}.',
  },
  store_unavailable: {
    status: 503,
    type: 'service_unavailable_error',
    code: 'store_unavailable',
    retry: true,
    retryAfter: 5,
    message: 'The store of this server cannot take the request at the moment. Please try again.',
  },
  shutting_down: {
    status: 503,
    type: 'service_unavailable_error',
    code: 'server_is_overloaded',
    retry: true,
    message: 'This server is shutting down. Please try again.',
  },
} as const satisfies Record<string, Row>;

export type ErrorName = keyof typeof ERRORS;

type ErrorArguments = {
  /** Dotted path of the offending field, `input[0].content`. Overrides the row's. */
  param?: string;
  /** Overrides the row's code, for rows that stand for a family of official codes. */
  code?: string;
  /** Whole seconds a client should wait, sent as Retry-After. */
  retryAfter?: number;
  /** Overrides the row's. */
  retry?: boolean;
  cause?: unknown;
  [placeholder: string]: unknown;
};

/** An error that a client may see. Made by `apiError` only. */
export class ApiError extends Error {
  readonly row: ErrorName;
  readonly status: number;
  readonly body: ErrorEnvelope;
  readonly retryAfter: number | undefined;
  /** Sent as x-should-retry, which overrules what clients make of the status; undefined when that is right. */
  readonly shouldRetry: boolean | undefined;

  constructor(name: ErrorName, args: ErrorArguments) {
    const row: Row = ERRORS[name];
    const param = args.param ?? row.param ?? null;
    const message = row.message.replaceAll(/\{(\w+)\}/g, (_, key: string) => {
      const value = key === 'param' ? param : args[key];
      if (typeof value !== 'string' && typeof value !== 'number') return '';
      return SENTENCES.has(key) ? String(value) : shorten(String(value));
    });
    super(message, args.cause === undefined ? undefined : { cause: args.cause });
    this.row = name;
    this.status = row.status;
    this.retryAfter = args.retryAfter ?? row.retryAfter;
    const retry = args.retry ?? row.retry;
    this.shouldRetry = retry === true || row.retry === false || isRetriedByClients(row.status) ? retry : undefined;
    this.body = { error: { message, type: row.type, param, code: args.code ?? row.code } };
  }
}

function isRetriedByClients(status: number): boolean {
  return status === 408 || status === 409 || status === 429 || status >= 500;
}

/** Ours, or an upstream's, which is bounded where it is read; all else may be whatever a client has sent. */
const SENTENCES: ReadonlySet<string> = new Set(['message', 'reason']);
/** Longer than any id or name of ours. */
const QUOTED = 256;

function shorten(text: string): string {
  return text.length > QUOTED ? `${text.slice(0, QUOTED)}…` : text;
}

/** @param args fills the `{placeholders}` of the row's message */
export function apiError(name: ErrorName, args: ErrorArguments = {}): ApiError {
  return new ApiError(name, args);
}
