import assert from 'node:assert/strict';
import test from 'node:test';
import { ERRORS, apiError } from '../../server/src/domain/errors.ts';
import type { ErrorName } from '../../server/src/domain/errors.ts';

/** Clients depend on the letter of these: a change here is a change of the wire. */
const PINNED: Record<string, [status: number, type: string, code: string | null]> = {
  invalid_api_key: [401, 'invalid_request_error', 'invalid_api_key'],
  mismatched_organization: [401, 'invalid_request_error', 'mismatched_organization'],
  mismatched_project: [401, 'invalid_request_error', 'mismatched_project'],
  metrics_of_all: [403, 'invalid_request_error', 'metrics_of_all'],
  missing_api_key: [401, 'invalid_request_error', null],
  foreign_origin: [403, 'invalid_request_error', 'foreign_origin'],
  invalid_json: [400, 'invalid_request_error', null],
  malformed_request: [400, 'invalid_request_error', null],
  headers_too_large: [431, 'invalid_request_error', null],
  request_too_large: [413, 'invalid_request_error', 'request_too_large'],
  request_timeout: [408, 'invalid_request_error', 'request_timeout'],
  unknown_url: [404, 'invalid_request_error', 'unknown_url'],
  missing_required_parameter: [400, 'invalid_request_error', 'missing_required_parameter'],
  unknown_parameter: [400, 'invalid_request_error', 'unknown_parameter'],
  unsupported_parameter: [400, 'invalid_request_error', 'unsupported_parameter'],
  unsupported_value: [400, 'invalid_request_error', 'unsupported_value'],
  invalid_type: [400, 'invalid_request_error', 'invalid_type'],
  invalid_value: [400, 'invalid_request_error', 'invalid_value'],
  out_of_range: [400, 'invalid_request_error', 'invalid_value'],
  background_needs_store: [400, 'invalid_request_error', 'unsupported_parameter'],
  idempotency_key_needs_background: [400, 'invalid_request_error', 'unsupported_parameter'],
  idempotency_key_reused: [400, 'invalid_request_error', 'idempotency_key_reused'],
  replay_expired: [400, 'invalid_request_error', 'invalid_request_error'],
  model_not_found: [400, 'invalid_request_error', 'model_not_found'],
  model_unknown: [404, 'invalid_request_error', 'model_not_found'],
  tool_output_missing: [400, 'invalid_request_error', null],
  tool_call_missing: [400, 'invalid_request_error', null],
  custom_tool_output_missing: [400, 'invalid_request_error', null],
  custom_tool_call_missing: [400, 'invalid_request_error', null],
  response_not_found: [404, 'invalid_request_error', null],
  not_streamable_foreground: [400, 'invalid_request_error', 'invalid_request_error'],
  not_streamable: [400, 'invalid_request_error', 'invalid_request_error'],
  stream_expired: [400, 'invalid_request_error', 'invalid_request_error'],
  encrypted_content_of_stored: [400, 'invalid_request_error', null],
  cancel_synchronous: [400, 'invalid_request_error', null],
  item_not_found: [400, 'invalid_request_error', 'invalid_value'],
  project_deleted: [401, 'invalid_request_error', 'invalid_api_key'],
  missing_admin_key: [401, 'invalid_request_error', null],
  invalid_admin_key: [401, 'invalid_request_error', 'invalid_admin_key'],
  project_not_found: [404, 'invalid_request_error', null],
  api_key_not_found: [404, 'invalid_request_error', null],
  default_project_kept: [400, 'invalid_request_error', 'default_project_kept'],
  backup_running: [409, 'invalid_request_error', 'backup_running'],
  backup_failed: [500, 'server_error', 'backup_failed'],
  webhook_endpoint_not_found: [404, 'invalid_request_error', null],
  webhook_delivery_not_found: [404, 'invalid_request_error', null],
  webhook_endpoint_unreachable: [400, 'invalid_request_error', 'webhook_endpoint_unreachable'],
  webhook_endpoint_disabled: [400, 'invalid_request_error', 'webhook_endpoint_disabled'],
  queue_full: [429, 'rate_limit_error', 'rate_limit_exceeded'],
  no_free_slot: [429, 'rate_limit_error', 'rate_limit_exceeded'],
  rate_limited: [429, 'rate_limit_error', 'rate_limit_exceeded'],
  request_over_limit: [429, 'rate_limit_error', 'rate_limit_exceeded'],
  too_many_unfinished: [429, 'rate_limit_error', 'rate_limit_exceeded'],
  budget_exceeded: [429, 'insufficient_quota', 'insufficient_quota'],
  upstream_rejected: [400, 'invalid_request_error', null],
  context_length_exceeded: [400, 'invalid_request_error', 'context_length_exceeded'],
  upstream_rate_limited: [429, 'rate_limit_error', 'rate_limit_exceeded'],
  upstream_quota: [429, 'insufficient_quota', 'insufficient_quota'],
  upstream_failed: [502, 'server_error', 'server_error'],
  server_error: [500, 'server_error', 'server_error'],
  store_unavailable: [503, 'service_unavailable_error', 'store_unavailable'],
  shutting_down: [503, 'service_unavailable_error', 'server_is_overloaded'],
  previous_response_not_found: [400, 'invalid_request_error', 'previous_response_not_found'],
  history_twice: [400, 'invalid_request_error', 'invalid_value'],
  history_too_large: [400, 'invalid_request_error', 'context_length_exceeded'],
  references_too_large: [400, 'invalid_request_error', 'context_length_exceeded'],
  conversation_not_found: [404, 'invalid_request_error', null],
  conversation_locked: [400, 'invalid_request_error', 'conversation_locked'],
  conversation_needs_store: [400, 'invalid_request_error', 'unsupported_parameter'],
  conversation_kept: [400, 'invalid_request_error', 'unsupported_parameter'],
  conversation_item_not_found: [404, 'invalid_request_error', null],
  conversation_item_exists: [400, 'invalid_request_error', 'invalid_value'],
  compaction_unreadable: [400, 'invalid_request_error', 'invalid_encrypted_content'],
  referenced_item_not_found: [404, 'invalid_request_error', null],
};

test('the error table is what clients know', () => {
  const table = Object.fromEntries(
    Object.entries(ERRORS).map(([name, row]) => [name, [row.status, row.type, row.code]]),
  );
  assert.deepEqual(table, PINNED);
});

test('the messages that clients match are those of the contract', () => {
  const message = (...args: Parameters<typeof apiError>): string => apiError(...args).message;
  assert.equal(message('response_not_found', { id: 'resp_1' }), "Response with id 'resp_1' not found.");
  assert.equal(message('cancel_synchronous'), 'Cannot cancel a synchronous response.');
  assert.equal(message('model_not_found', { model: 'x' }), "The requested model 'x' does not exist.");
  assert.equal(message('missing_required_parameter', { param: 'model' }), "Missing required parameter: 'model'.");
  assert.equal(message('unknown_parameter', { param: 'foo' }), "Unknown parameter: 'foo'.");
  assert.equal(
    message('invalid_type', { param: 'stream', expected: 'a boolean', got: 'a string' }),
    "Invalid type for 'stream': expected a boolean, but got a string instead.",
  );
  assert.equal(
    message('not_streamable_foreground'),
    'This response cannot be streamed because it was not created with background=true.',
  );
  assert.equal(
    message('not_streamable'),
    'This response cannot be streamed because it was not created with stream=true.',
  );
  assert.equal(
    message('stream_expired', { minutes: 10 }),
    'This response can no longer be streamed because it is more than 10 minutes old',
  );
});

test('no row for a permanent condition has a status that the official clients retry', () => {
  const passing =
    /request_timeout|backup_|queue_full|no_free_slot|rate_limited|too_many_unfinished|upstream_|server_error|store_unavailable|shutting_down/;
  // OpenAI's own, whose clients are told by x-should-retry that it is no use.
  const pinned = /request_over_limit|budget_exceeded/;
  for (const [name, row] of Object.entries(ERRORS)) {
    if (!passing.test(name) && !pinned.test(name))
      assert.ok(![408, 409, 429].includes(row.status) && row.status < 500, name);
  }
});

/** What the official clients are told about each row whose status they would retry; undefined: nothing. */
const RETRIED: Record<string, boolean | undefined> = {
  // Its status is not one that clients retry by themselves, and its message asks for it.
  conversation_locked: true,
  // Proxies and other clients are told, too: this never goes well.
  idempotency_key_reused: false,
  request_timeout: true,
  backup_running: true,
  backup_failed: false,
  queue_full: true,
  no_free_slot: true,
  rate_limited: true,
  request_over_limit: false,
  too_many_unfinished: true,
  budget_exceeded: false,
  upstream_rate_limited: true,
  upstream_quota: false,
  upstream_failed: true,
  // A fault of ours: nobody knows whether it will happen again, nor how far it got.
  server_error: undefined,
  store_unavailable: true,
  shutting_down: true,
};

test('each row says what clients should do where its status would make them try again', () => {
  for (const name of Object.keys(ERRORS) as ErrorName[]) {
    const { status, shouldRetry } = apiError(name);
    const retried = [408, 409, 429].includes(status) || status >= 500;
    assert.equal(name in RETRIED, retried || shouldRetry !== undefined, `${name} is in the list if clients are told`);
    assert.equal(shouldRetry, RETRIED[name], name);
  }
});

test('what is known of a failure decides over its row, and a status that nobody retries needs no word', () => {
  assert.equal(apiError('upstream_failed', { retry: false }).shouldRetry, false);
  assert.equal(apiError('upstream_rejected', { retry: false }).shouldRetry, undefined);
  assert.equal(apiError('upstream_rejected', { retry: true }).shouldRetry, true);
});

test('an error always has the four keys', () => {
  assert.deepEqual(apiError('cancel_synchronous').body, {
    error: {
      message: 'Cannot cancel a synchronous response.',
      type: 'invalid_request_error',
      param: null,
      code: null,
    },
  });
});

test('what a client has sent is not thrown back at length', () => {
  const { message } = apiError('response_not_found', { id: 'x'.repeat(16_000) });
  assert.equal(message, `Response with id '${'x'.repeat(256)}…' not found.`);
  const long = 'why '.repeat(1_000);
  assert.equal(apiError('upstream_rejected', { message: long }).message, long);
});
