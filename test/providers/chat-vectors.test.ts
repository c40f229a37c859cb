import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { Assembler } from '../../server/src/domain/assembler.ts';
import { Fold } from '../../server/src/domain/fold.ts';
import type { Ids } from '../../server/src/domain/ports.ts';
import type { UpstreamEvent } from '../../server/src/domain/upstream-event.ts';
import { openProvider, turnFor } from '../support/chat-run.ts';
import { FakeClock } from '../support/clock.ts';
import { queuedResponse } from '../support/arbitrary.ts';
import { renderEvents } from '../support/render-events.ts';
import { startUpstream } from '../support/upstream.ts';
import type { Step } from '../support/upstream.ts';

/**
 * The 37 vectors of upstream.md §2e: what a server sends, through a real connection, the provider and the assembler,
 * against the frozen events. The expected side is typed in here, not computed.
 */

type Vector = { title: string; sends: Step[]; events: string };

const text = (content: string): Step => ({ delta: { content } });
const call = (...calls: object[]): Step => ({ delta: { tool_calls: calls } });
const fn = (name: string | undefined, args?: unknown): object => ({ function: { name, arguments: args } });
const finish = (reason: string): Step => ({ finish: reason });
const usage = (input: number, output: number): object => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
});
const done: Step = { done: true };

const vectors: Vector[] = [
  {
    title: 'V01 plain text, usage in an empty-choices chunk',
    sends: [text('Hel'), text('lo'), finish('stop'), { chunk: { choices: [], usage: usage(3, 2) } }, done],
    events: '+0 message  (0.0 output_text  0.0 t"Hel"  0.0 t"lo"  0.0 T"Hello"  )0.0  -0 completed  completed u=3/2',
  },
  {
    title: 'V02 empty and null deltas everywhere produce no events',
    sends: [
      { delta: { role: 'assistant', content: '', refusal: null } },
      { delta: { content: null, tool_calls: [], reasoning_content: null, reasoning: '' } },
      { delta: {} },
      text('a'),
      { delta: { content: '', function_call: null, annotations: [] } },
      { chunk: { choices: [] } },
      { chunk: { choices: [{ index: 0, delta: null, finish_reason: null }], usage: null, error: null } },
      finish('stop'),
      done,
    ],
    events: '+0 message  (0.0 output_text  0.0 t"a"  0.0 T"a"  )0.0  -0 completed  completed u=null',
  },
  {
    title: 'V03 finish_reason on the last content chunk',
    sends: [{ delta: { content: 'hi' }, choice: { finish_reason: 'stop' } }, done],
    events: '+0 message  (0.0 output_text  0.0 t"hi"  0.0 T"hi"  )0.0  -0 completed  completed u=null',
  },
  {
    title: 'V04 reasoning_content then text',
    sends: [
      { delta: { reasoning_content: 'th' } },
      { delta: { reasoning_content: 'ink' } },
      { delta: { content: 'ans', reasoning_content: null } },
      finish('stop'),
      done,
    ],
    events:
      '+0 reasoning  (0.0 reasoning_text  0.0 r"th"  0.0 r"ink"  0.0 R"think"  )0.0  -0 completed  +1 message  (1.0 output_text  1.0 t"ans"  1.0 T"ans"  )1.0  -1 completed  completed u=null',
  },
  {
    title: 'V05 the `reasoning` spelling, and both spellings in one chunk',
    sends: [{ delta: { reasoning: 'A', reasoning_content: 'A' } }, { delta: { content: 'b' } }, finish('stop'), done],
    events:
      '+0 reasoning  (0.0 reasoning_text  0.0 r"A"  0.0 R"A"  )0.0  -0 completed  +1 message  (1.0 output_text  1.0 t"b"  1.0 T"b"  )1.0  -1 completed  completed u=null',
  },
  {
    title: 'V06 last reasoning and first text in the same chunk',
    sends: [
      { delta: { reasoning: 'r1' } },
      { delta: { content: 't1', reasoning: 'r2' } },
      text('t2'),
      finish('stop'),
      done,
    ],
    events:
      '+0 reasoning  (0.0 reasoning_text  0.0 r"r1"  0.0 r"r2"  0.0 R"r1r2"  )0.0  -0 completed  +1 message  (1.0 output_text  1.0 t"t1"  1.0 t"t2"  1.0 T"t1t2"  )1.0  -1 completed  completed u=null',
  },
  {
    title: 'V07 interleaved reasoning, text, reasoning, text',
    sends: [{ delta: { reasoning: 'a' } }, text('b'), { delta: { reasoning: 'c' } }, text('d'), finish('stop'), done],
    events:
      '+0 reasoning  (0.0 reasoning_text  0.0 r"a"  0.0 R"a"  )0.0  -0 completed  +1 message  (1.0 output_text  1.0 t"b"  1.0 T"b"  )1.0  -1 completed  +2 reasoning  (2.0 reasoning_text  2.0 r"c"  2.0 R"c"  )2.0  -2 completed  +3 message  (3.0 output_text  3.0 t"d"  3.0 T"d"  )3.0  -3 completed  completed u=null',
  },
  {
    title: 'V08 text and two parallel calls announced in one chunk, deltas without ids, out of order',
    sends: [
      text('x'),
      call({ index: 0, id: 'c1', ...fn('f', '') }, { index: 1, id: 'c2', ...fn('g', '') }),
      call({ index: 1, ...fn(undefined, '{') }),
      call({ index: 1, ...fn(undefined, '}') }),
      call({ index: 0, ...fn(undefined, '{"a":1}') }),
      finish('tool_calls'),
      done,
    ],
    events:
      '+0 message  (0.0 output_text  0.0 t"x"  0.0 T"x"  )0.0  -0 completed  +1 function_call f#c1  +2 function_call g#c2  2 a"{"  2 a"}"  1 a"{\\"a\\":1}"  1 A"{\\"a\\":1}"  -1 completed  2 A"{}"  -2 completed  completed u=null',
  },
  {
    title: 'V09 reasoning, text and two sequential calls',
    sends: [
      { delta: { reasoning_content: 'r' } },
      text('t'),
      call({ index: 0, id: 'c1', ...fn('f', '') }),
      call({ index: 0, ...fn(undefined, '{"a":') }),
      call({ index: 0, ...fn(undefined, '1}') }),
      call({ index: 1, id: 'c2', ...fn('g', '') }),
      call({ index: 1, ...fn(undefined, '{}') }),
      finish('tool_calls'),
      done,
    ],
    events:
      '+0 reasoning  (0.0 reasoning_text  0.0 r"r"  0.0 R"r"  )0.0  -0 completed  +1 message  (1.0 output_text  1.0 t"t"  1.0 T"t"  )1.0  -1 completed  +2 function_call f#c1  2 a"{\\"a\\":"  2 a"1}"  2 A"{\\"a\\":1}"  -2 completed  +3 function_call g#c2  3 a"{}"  3 A"{}"  -3 completed  completed u=null',
  },
  {
    title: 'V10 two whole calls, both index 0, different ids',
    sends: [
      call({ index: 0, id: 'c1', ...fn('f', '{"a":1}') }),
      call({ index: 0, id: 'c2', ...fn('f', '{"a":2}') }),
      finish('tool_calls'),
      done,
    ],
    events:
      '+0 function_call f#c1  0 a"{\\"a\\":1}"  0 A"{\\"a\\":1}"  -0 completed  +1 function_call f#c2  1 a"{\\"a\\":2}"  1 A"{\\"a\\":2}"  -1 completed  completed u=null',
  },
  {
    title: 'V11 two whole calls, index 0, no ids, same name',
    sends: [
      call({ index: 0, ...fn('f', '{"a":1}') }),
      call({ index: 0, ...fn('f', '{"a":2}') }),
      finish('tool_calls'),
      done,
    ],
    events:
      '+0 function_call f#call_002  0 a"{\\"a\\":1}"  0 A"{\\"a\\":1}"  -0 completed  +1 function_call f#call_004  1 a"{\\"a\\":2}"  1 A"{\\"a\\":2}"  -1 completed  completed u=null',
  },
  {
    title: 'V12 no index at all: id and name, then bare argument deltas',
    sends: [
      call({ id: 'c1', ...fn('f', '') }),
      call(fn(undefined, '{')),
      call(fn(undefined, '}')),
      finish('tool_calls'),
      done,
    ],
    events: '+0 function_call f#c1  0 a"{"  0 a"}"  0 A"{}"  -0 completed  completed u=null',
  },
  {
    title: 'V13 id first, name later, arguments buffered before the name',
    sends: [
      call({ index: 0, id: 'c1', ...fn(undefined, '') }),
      call({ index: 0, ...fn(undefined, '{"a"') }),
      call({ index: 0, ...fn('f', ':1') }),
      call({ index: 0, ...fn(undefined, '}') }),
      finish('tool_calls'),
      done,
    ],
    events: '+0 function_call f#c1  0 a"{\\"a\\":1"  0 a"}"  0 A"{\\"a\\":1}"  -0 completed  completed u=null',
  },
  {
    title: 'V14 id and name repeated on every delta',
    sends: [
      call({ index: 0, id: 'c1', ...fn('f', '') }),
      call({ index: 0, id: 'c1', ...fn('f', '{') }),
      call({ index: 0, id: 'c1', ...fn('f', '}') }),
      call({ index: 0, id: 'c1', ...fn('f', '') }),
      finish('tool_calls'),
      done,
    ],
    events: '+0 function_call f#c1  0 a"{"  0 a"}"  0 A"{}"  -0 completed  completed u=null',
  },
  {
    title: 'V15 call without arguments: "" and finish_reason stop',
    sends: [call({ index: 0, id: 'c1', ...fn('f', '') }), finish('stop'), done],
    events: '+0 function_call f#c1  0 a"{}"  0 A"{}"  -0 completed  completed u=null',
  },
  {
    title: 'V16 arguments as a JSON object',
    sends: [call({ index: 0, id: 'c1', ...fn('f', { a: 1 }) }), finish('tool_calls'), done],
    events: '+0 function_call f#c1  0 a"{\\"a\\":1}"  0 A"{\\"a\\":1}"  -0 completed  completed u=null',
  },
  {
    title: 'V17 whitespace content around tool calls is swallowed',
    sends: [
      call({ index: 0, id: 'c1', ...fn('f', '{}') }),
      text('\n'),
      call({ index: 1, id: 'c2', ...fn('g', '{}') }),
      text('\n\n'),
      finish('tool_calls'),
      done,
    ],
    events:
      '+0 function_call f#c1  0 a"{}"  0 A"{}"  -0 completed  +1 function_call g#c2  1 a"{}"  1 A"{}"  -1 completed  completed u=null',
  },
  {
    // The contract allows the call to be closed before or after the message; before is what is frozen here.
    title: 'V18 real text after a tool call is a new message item',
    sends: [call({ index: 0, id: 'c1', ...fn('f', '{}') }), text('done'), finish('stop'), done],
    events:
      '+0 function_call f#c1  0 a"{}"  0 A"{}"  -0 completed  +1 message  (1.0 output_text  1.0 t"done"  1.0 T"done"  )1.0  -1 completed  completed u=null',
  },
  {
    title: 'V19 length in the middle of tool arguments',
    sends: [call({ index: 0, id: 'c1', ...fn('f', '{"a":') }), finish('length'), done],
    events: '+0 function_call f#c1  0 a"{\\"a\\":"  0 A"{\\"a\\":"  -0 incomplete  incomplete:max_output_tokens',
  },
  {
    title: 'V20 length in the middle of text',
    sends: [text('abc'), finish('length'), done],
    events: '+0 message  (0.0 output_text  0.0 t"abc"  0.0 T"abc"  )0.0  -0 incomplete  incomplete:max_output_tokens',
  },
  {
    title: 'V21 content_filter after text',
    sends: [text('abc'), finish('content_filter'), done],
    events: '+0 message  (0.0 output_text  0.0 t"abc"  0.0 T"abc"  )0.0  -0 incomplete  incomplete:content_filter',
  },
  {
    title: 'V22 refusal deltas',
    sends: [{ delta: { refusal: 'I ' } }, { delta: { refusal: "can't" } }, finish('stop'), done],
    events: `+0 message  (0.0 refusal  0.0 x"I "  0.0 x"can't"  0.0 X"I can't"  )0.0  -0 completed  completed u=null`,
  },
  {
    title: 'V23 text then refusal in one message',
    sends: [text('Sure'), { delta: { refusal: 'no' } }, finish('stop'), done],
    events:
      '+0 message  (0.0 output_text  0.0 t"Sure"  0.0 T"Sure"  )0.0  (0.1 refusal  0.1 x"no"  0.1 X"no"  )0.1  -0 completed  completed u=null',
  },
  {
    title: 'V24 duplicate finish chunk with usage in it; a late delta is ignored',
    sends: [
      call({ index: 0, id: 'c1', ...fn('f', '{}') }),
      finish('tool_calls'),
      { finish: 'stop', usage: usage(1, 2) },
      text('late'),
      done,
    ],
    events: '+0 function_call f#c1  0 a"{}"  0 A"{}"  -0 completed  completed u=1/2',
  },
  {
    title: 'V25 error object mid-stream after text',
    sends: [text('abc'), { chunk: { error: { message: 'boom', type: 'server_error', code: 500 } } }],
    events: '+0 message  (0.0 output_text  0.0 t"abc"  0.0 T"abc"  )0.0  -0 incomplete  failed:server_error',
  },
  {
    title: 'V26 error in the shape of old vLLM before any output is retryable',
    sends: [{ chunk: { object: 'error', message: 'boom', type: 'InternalServerError', param: null, code: 500 } }, done],
    events: 'failed:server_error',
  },
  {
    title: 'V27 error in the choice with finish_reason error',
    sends: [
      text('x'),
      {
        chunk: {
          choices: [
            { index: 0, delta: { content: '' }, finish_reason: 'error', error: { code: 429, message: 'slow down' } },
          ],
        },
      },
      done,
    ],
    events: '+0 message  (0.0 output_text  0.0 t"x"  0.0 T"x"  )0.0  -0 incomplete  failed:rate_limit_exceeded',
  },
  {
    title: 'V28 EOF without finish_reason nor [DONE]',
    sends: [text('par'), { end: true }],
    events: '+0 message  (0.0 output_text  0.0 t"par"  0.0 T"par"  )0.0  -0 incomplete  failed:server_error',
  },
  {
    title: 'V29 EOF after finish_reason, [DONE] missing',
    sends: [text('ok'), finish('stop'), { end: true }],
    events: '+0 message  (0.0 output_text  0.0 t"ok"  0.0 T"ok"  )0.0  -0 completed  completed u=null',
  },
  {
    title: 'V30 [DONE] without any finish_reason',
    sends: [text('ok'), done],
    events: '+0 message  (0.0 output_text  0.0 t"ok"  0.0 T"ok"  )0.0  -0 completed  completed u=null',
  },
  {
    title: 'V31 comments between chunks, a UTF-8 sequence in two halves',
    sends: [
      { send: ': OPENROUTER PROCESSING\n\n' },
      { tear: 'utf8' },
      text('é'),
      { send: ':\n\n:ping\n\ndata:\n\n' },
      finish('stop'),
      done,
    ],
    events: '+0 message  (0.0 output_text  0.0 t"é"  0.0 T"é"  )0.0  -0 completed  completed u=null',
  },
  {
    title: 'V32 content array with thinking parts',
    sends: [
      { delta: { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'h' }] }] } },
      { delta: { content: [{ type: 'text', text: 'A' }] } },
      text('B'),
      finish('stop'),
      done,
    ],
    events:
      '+0 reasoning  (0.0 reasoning_text  0.0 r"h"  0.0 R"h"  )0.0  -0 completed  +1 message  (1.0 output_text  1.0 t"A"  1.0 t"B"  1.0 T"AB"  )1.0  -1 completed  completed u=null',
  },
  {
    title: 'V33 logprobs attach to the delta and to the part',
    sends: [
      {
        delta: { content: 'a' },
        choice: {
          logprobs: {
            content: [
              { token: 'a', logprob: -0.5, bytes: [97], top_logprobs: [{ token: 'b', logprob: -1, bytes: null }] },
            ],
          },
        },
      },
      finish('stop'),
      done,
    ],
    events: '+0 message  (0.0 output_text  0.0 t"a"  0.0 T"a"  )0.0  -0 completed  completed u=null',
  },
  {
    title: 'V34 usage on every chunk, cached and reasoning details',
    sends: [
      { chunk: { choices: [{ index: 0, delta: { content: 'a' } }], usage: usage(4, 1) } },
      {
        finish: 'stop',
        usage: {
          ...usage(4, 7),
          prompt_tokens_details: { cached_tokens: 2 },
          completion_tokens_details: { reasoning_tokens: 5 },
        },
      },
      done,
    ],
    events: '+0 message  (0.0 output_text  0.0 t"a"  0.0 T"a"  )0.0  -0 completed  completed u=4/7',
  },
  {
    title: 'V35 completely empty answer',
    sends: [{ delta: { role: 'assistant' } }, { finish: 'stop', usage: usage(3, 0) }, done],
    events: 'completed u=3/0',
  },
  {
    title: 'V36 legacy function_call deltas',
    sends: [
      { delta: { function_call: { name: 'f', arguments: '' } } },
      { delta: { function_call: { arguments: '{}' } } },
      finish('function_call'),
      done,
    ],
    events: '+0 function_call f#call_002  0 a"{}"  0 A"{}"  -0 completed  completed u=null',
  },
  {
    title: 'V37 tool call without a name until the end',
    sends: [call({ index: 0, id: 'c1', ...fn(undefined, '{}') }), finish('tool_calls'), done],
    events: 'failed:server_error',
  },
];

const upstream = await startUpstream();
const provider = openProvider(upstream.url);
after(async () => {
  await provider.close();
  await upstream.stop();
});

for (const { title, sends, events } of vectors) {
  test(title, async () => {
    const result = await run(title.slice(0, 3), sends);
    assert.equal(renderEvents(result.events), events);
  });
}

test('every vector is the same when each byte comes alone', async () => {
  for (const { title, sends, events } of vectors) {
    const result = await run(`${title.slice(0, 3)} in bytes`, [{ tear: 'bytes' }, ...sends]);
    assert.equal(renderEvents(result.events), events, title);
  }
});

test('V26 and V28 are retryable, which is of use while there is no output', async () => {
  for (const name of ['V26', 'V28']) {
    const vector = vectors.find(({ title }) => title.startsWith(name));
    const { upstreamEvents } = await run(name, vector?.sends ?? []);
    const last = upstreamEvents.at(-1);
    assert.equal(last?.type === 'error' && last.retryable, true, name);
  }
});

test('V33 the logprobs of the delta are the logprobs of the part', async () => {
  const vector = vectors.find(({ title }) => title.startsWith('V33'));
  const { events } = await run('V33', vector?.sends ?? []);
  const expected = [
    { token: 'a', logprob: -0.5, bytes: [97], top_logprobs: [{ token: 'b', logprob: -1, bytes: [98] }] },
  ];
  const delta = events.find((event) => event.type === 'response.output_text.delta');
  const part = events.find((event) => event.type === 'response.content_part.done' && event.part.type === 'output_text');
  assert.deepEqual(delta?.logprobs, expected);
  assert.deepEqual(part && 'part' in part && 'logprobs' in part.part && part.part.logprobs, expected);
});

test('V34 the details of the usage arrive', async () => {
  const vector = vectors.find(({ title }) => title.startsWith('V34'));
  const { events } = await run('V34', vector?.sends ?? []);
  const last = events.at(-1);
  assert.deepEqual(last?.type === 'response.completed' && last.response.usage, {
    input_tokens: 4,
    input_tokens_details: { cached_tokens: 2, cache_write_tokens: 0 },
    output_tokens: 7,
    output_tokens_details: { reasoning_tokens: 5 },
    total_tokens: 11,
  });
});

async function run(model: string, sends: Step[]) {
  await upstream.script(model, sends);
  const assembler = new Assembler(new Fold(), countingIds(), new FakeClock());
  assembler.begin(queuedResponse(), true);
  const upstreamEvents: UpstreamEvent[] = [];
  for await (const batch of provider.run(turnFor(model), new AbortController().signal)) {
    upstreamEvents.push(...batch);
    for (const event of batch) assembler.push(event);
  }
  assembler.finish();
  return { upstreamEvents, events: assembler.take() };
}

/** `fc_001`, `call_002`: one count for all kinds. */
function countingIds(): Ids {
  let count = 0;
  const next = (prefix: string): string => {
    count += 1;
    return `${prefix}_${String(count).padStart(3, '0')}`;
  };
  return {
    response: () => next('resp'),
    item: next,
    request: () => next('req'),
    worker: () => next('worker'),
    webhookSecret: () => next('whsec'),
    apiKey: () => next('sk-holt'),
  };
}
