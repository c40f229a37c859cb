import { apiError } from '../../domain/errors.ts';
import type { Clock, Provider, Turn } from '../../domain/ports.ts';
import { callableTools, toolFinder } from '../../domain/tools.ts';
import type { CallableTool } from '../../domain/tools.ts';
import type { UpstreamEvent } from '../../domain/upstream-event.ts';
import { waitMs } from '../../domain/wait.ts';
import type { CreateResponseBody } from '../../protocol/create-response.ts';
import type { ToolReference } from '../../protocol/tools.ts';
import { readScript } from './script.ts';
import type { Script } from './script.ts';
import { tellStory } from './story.ts';

/**
 * The demonstration model `otter`: no key, no network, no intelligence. It streams a deterministic story, so that
 * everything around a model can be tried; `scripted.*` metadata steers it.
 */

export const OTTER = 'otter';
/** The model answers without being asked to sample, so no sampling field can change it. */
const UNSUPPORTED: { field: keyof CreateResponseBody; reason: string }[] = [
  { field: 'top_logprobs', reason: 'is not supported by the demonstration model' },
];
/** Tokens of one batch when there is no interval: a turn of the loop each, so that others get theirs. */
const BURST = 64;
/** Made-up, but stable: about four characters a token. */
const CHARACTERS_PER_TOKEN = 4;

export function createScriptedProvider(name: string, clock: Clock): Provider {
  return {
    name,
    unserved: () => [],
    check,
    run: (turn, signal) => run(turn, signal, clock),
    models: () => Promise.resolve([{ id: OTTER, object: 'model', created: 0, owned_by: 'holt' }]),
    close: () => Promise.resolve(),
  };
}

function check(request: CreateResponseBody): void {
  const { toolCall } = readScript(request.metadata ?? {});
  const called = calledTool(request, toolCall);
  if (toolCall !== undefined && called === undefined) {
    throw apiError('invalid_value', {
      param: 'metadata.scripted.tool_call',
      reason: `names ${toolCall}, which is not among the tools`,
    });
  }
  if (called?.tool.type === 'custom' && called.tool.format?.type === 'grammar') {
    throw apiError('unsupported_value', {
      param: `${called.path}.format`,
      reason: "can't be a grammar: the demonstration model always says the same",
    });
  }
  checkToolChoice(request, called);
  for (const { field, reason } of UNSUPPORTED) {
    const value = request[field];
    if (value !== null && value !== undefined && value !== 0)
      throw apiError('unsupported_parameter', { param: field, reason });
  }
  if (request.include?.includes('message.output_text.logprobs') === true) {
    throw apiError('unsupported_value', { param: 'include', reason: 'has no logprobs on the demonstration model' });
  }
  const format = request.text?.format?.type ?? 'text';
  if (format !== 'text') {
    throw apiError('unsupported_value', {
      param: 'text.format',
      reason: `does not support ${format} on the demonstration model`,
    });
  }
}

/** The tool of that name, in a namespace or not. */
function calledTool({ tools }: CreateResponseBody, name: string | undefined): CallableTool | undefined {
  return callableTools(tools).find((one) => one.flatName === name || one.tool.name === name);
}

/** What is called is what metadata says, so a choice that says otherwise can't be honoured. */
function checkToolChoice({ tools, tool_choice: choice }: CreateResponseBody, called: CallableTool | undefined): void {
  if (choice === null || choice === undefined || choice === 'auto') return;
  const find = toolFinder(callableTools(tools));
  const isCalled = (reference: ToolReference): boolean => find(reference)?.flatName === called?.flatName;
  const honoured =
    choice === 'none'
      ? called === undefined
      : choice === 'required'
        ? called !== undefined
        : choice.type === 'allowed_tools'
          ? (called === undefined && choice.mode === 'auto') || (called !== undefined && choice.tools.some(isCalled))
          : called !== undefined && isCalled(choice);
  if (honoured) return;
  throw apiError('unsupported_value', {
    param: 'tool_choice',
    reason: 'must agree with metadata scripted.tool_call on the demonstration model',
  });
}

async function* run(
  turn: Turn,
  signal: AbortSignal,
  clock: Clock,
): AsyncGenerator<readonly UpstreamEvent[], void, undefined> {
  const script = readScript(turn.request.metadata ?? {});
  const limit = turn.request.max_output_tokens ?? Infinity;
  await pause(clock, script.firstTokenMs, signal);
  let count = 0;
  let batch: UpstreamEvent[] = [];
  for (const event of tokens(script, turn)) {
    if (signal.aborted) return;
    if (count === script.failAfter) {
      yield [...batch, failure()];
      return;
    }
    if (count === limit) break;
    batch.push(event);
    count += 1;
    if (script.intervalMs > 0 || batch.length >= BURST) {
      yield batch;
      batch = [];
      await pause(clock, script.intervalMs, signal);
    }
  }
  if (signal.aborted) return;
  if (count === script.failAfter) yield [...batch, failure()];
  else yield [...batch, ...closing(script, turn, count, count === limit)];
}

/** One event a token. */
function* tokens(script: Script, turn: Turn): Generator<UpstreamEvent, void, undefined> {
  const thoughts = tellStory(script.seed + 1);
  for (let index = 0; index < script.reasoningTokens; index += 1) {
    yield { type: 'reasoning', delta: thoughts.next().value, kind: 'text' };
  }
  const called = toolOf(script, turn);
  if (called !== undefined) {
    yield* callOf(called);
    return;
  }
  const story = tellStory(script.seed);
  for (let index = 0; index < script.tokens; index += 1) yield { type: 'text', delta: story.next().value };
}

function* callOf({ tool, namespace }: CallableTool): Generator<UpstreamEvent, void, undefined> {
  const custom = tool.type === 'custom';
  yield {
    type: 'tool_call',
    key: '0',
    kind: tool.type,
    ...(namespace !== undefined && { namespace: namespace.name }),
    name: tool.name,
    arguments: '',
  };
  const pieces = custom ? ['about', ' otters', ' in space'] : ['{"about"', ':"otters', ' in space"}'];
  for (const piece of pieces) yield { type: 'tool_call', key: '0', arguments: piece };
}

/** The tool to call, until there is its output. */
function toolOf(script: Script, turn: Turn): CallableTool | undefined {
  const answered = turn.items.some(({ type }) => type === 'function_call_output' || type === 'custom_tool_call_output');
  return answered ? undefined : calledTool(turn.request, script.toolCall);
}

function closing(script: Script, turn: Turn, count: number, cut: boolean): UpstreamEvent[] {
  const input = JSON.stringify([turn.instructions, turn.items]).length;
  return [
    {
      type: 'usage',
      inputTokens: Math.ceil(input / CHARACTERS_PER_TOKEN),
      outputTokens: count,
      reasoningTokens: Math.min(count, script.reasoningTokens),
    },
    { type: 'finish', reason: cut ? 'length' : toolOf(script, turn) === undefined ? 'stop' : 'tool_calls' },
  ];
}

function failure(): UpstreamEvent {
  return {
    type: 'error',
    code: 'server_error',
    message: 'The demonstration model failed, as metadata scripted.fail_after asked for.',
    retryable: false,
    row: 'upstream_failed',
  };
}

/** With 0 after the other work of this turn of the loop. */
function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) return waitMs(clock, ms, signal);
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
