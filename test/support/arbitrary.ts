import fc from 'fast-check';
import type { Logprob } from '../../server/src/protocol/items.ts';
import type { Response } from '../../server/src/protocol/response.ts';
import type { UpstreamEvent } from '../../server/src/domain/upstream-event.ts';
import type { Clock, Ids } from '../../server/src/domain/ports.ts';

/** What any upstream could say, sense or nonsense. */
export const upstreamEvents: fc.Arbitrary<UpstreamEvent[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant('text' as const), delta: text() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('text' as const),
        delta: text(),
        logprobs: fc.constant<Logprob[]>([{ token: 'a', logprob: -0.5, bytes: [97], top_logprobs: [] }]),
      }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('refusal' as const), delta: text() }) },
    {
      weight: 3,
      arbitrary: fc.record({
        type: fc.constant('reasoning' as const),
        delta: text(),
        kind: fc.constantFrom('text' as const, 'summary' as const),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record(
        {
          type: fc.constant('tool_call' as const),
          key: fc.constantFrom('0', '1', '2'),
          kind: fc.constantFrom('function' as const, 'custom' as const),
          namespace: fc.constantFrom('crm', 'mail'),
          name: fc.constantFrom('f', 'g'),
          callId: fc.constantFrom('c1', 'c2'),
          arguments: fc.constantFrom('', '{', '}', '{"a":1}', 'é'),
        },
        { requiredKeys: ['type', 'key'] },
      ),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constant('annotation' as const),
        annotation: fc.record(
          {
            type: fc.constant('url_citation'),
            url: fc.webUrl(),
            title: fc.string(),
            start_index: fc.nat(),
            end_index: fc.nat(),
          },
          { noNullPrototype: true },
        ),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ type: fc.constant('usage' as const), inputTokens: fc.nat(), outputTokens: fc.nat() }),
    },
    { weight: 1, arbitrary: fc.constant<UpstreamEvent>({ type: 'alive' }) },
  ),
  { maxLength: 60 },
);

/** Any JavaScript string, half surrogate pairs and NUL included: models emit them. */
function text(): fc.Arbitrary<string> {
  return fc.oneof(
    fc.string({ unit: 'binary', maxLength: 12 }),
    fc.string({ maxLength: 4 }),
    fc.constantFrom('\ud83d', '\udda6', '🦦', '\n', '\u0000'),
  );
}

export const endings = fc.constantFrom('stop', 'length', 'content_filter', 'eof', 'error', 'cancel');
export type Ending = 'stop' | 'length' | 'content_filter' | 'eof' | 'error' | 'cancel';

/** Ids that count, so that a failing case reads well. */
export function countingIds(): Ids {
  let count = 0;
  const next = (prefix: string): string => `${prefix}_${String((count += 1)).padStart(3, '0')}`;
  return {
    response: () => next('resp'),
    item: next,
    request: () => next('req'),
    worker: () => next('worker'),
    webhookSecret: () => next('whsec'),
    apiKey: () => next('sk-holt'),
  };
}

export const stillClock: Clock = {
  now: () => 1_700_000_000_000,
  timer: () => ({ refresh() {}, cancel() {} }),
};

export function queuedResponse(overrides: Partial<Response> = {}): Response {
  return {
    id: 'resp_000',
    object: 'response',
    created_at: 1_700_000_000,
    status: 'queued',
    background: true,
    completed_at: null,
    error: null,
    frequency_penalty: 0,
    incomplete_details: null,
    instructions: null,
    max_output_tokens: null,
    max_tool_calls: null,
    model: 'otter',
    moderation: null,
    output: [],
    parallel_tool_calls: true,
    presence_penalty: 0,
    previous_response_id: null,
    prompt_cache_key: null,
    prompt_cache_retention: null,
    reasoning: { effort: null, summary: null },
    safety_identifier: null,
    service_tier: 'auto',
    store: true,
    temperature: 1,
    text: { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: 'auto',
    tools: [],
    top_logprobs: 0,
    top_p: 1,
    truncation: 'disabled',
    usage: null,
    user: null,
    metadata: { b: '1', a: '2' },
    ...overrides,
  };
}
