import { callableTools } from '../../domain/tools.ts';
import type { CallableTool } from '../../domain/tools.ts';
import type { UpstreamEvent } from '../../domain/upstream-event.ts';
import type { Tool } from '../../protocol/tools.ts';
import type { ToolCallDelta } from './tool-call-keys.ts';
import { InputUnwrapper } from './unwrap-input.ts';

type ToolCallEvent = Extract<UpstreamEvent, { type: 'tool_call' }>;
type Call = { named: boolean; unwrapper: InputUnwrapper | undefined; held: string };

/**
 * Calls as a chat server names them -> calls of the client's tools: the namespace is taken out of the name, and the
 * input of a custom tool out of the arguments of the function that stands for it.
 */
export class CallNames {
  readonly #tools: ReadonlyMap<string, CallableTool>;
  readonly #calls = new Map<string, Call>();

  constructor(tools: readonly Tool[] | null | undefined) {
    this.#tools = new Map(callableTools(tools).map((one) => [one.flatName, one]));
  }

  /** @param key tells the calls of one generation apart */
  restore(key: string, delta: ToolCallDelta): ToolCallEvent {
    const call = this.#calls.get(key) ?? { named: false, unwrapper: undefined, held: '' };
    this.#calls.set(key, call);
    const found = delta.name === undefined ? undefined : this.#tools.get(delta.name);
    if (!call.named && delta.name !== undefined) {
      call.named = true;
      // A server that knows custom tools says that it calls one: then there is nothing to unwrap.
      if (found?.tool.type === 'custom' && !delta.custom) call.unwrapper = new InputUnwrapper();
    }
    const args = this.#arguments(call, delta.arguments);
    const received = delta.arguments !== undefined && args !== delta.arguments ? delta.arguments.length : undefined;
    return {
      type: 'tool_call',
      key,
      ...((delta.custom || found?.tool.type === 'custom') && { kind: 'custom' }),
      ...(delta.id !== undefined && { callId: delta.id }),
      ...(found?.namespace !== undefined && { namespace: found.namespace.name }),
      ...(delta.name !== undefined && { name: found?.tool.name ?? delta.name }),
      ...(args !== undefined && { arguments: args }),
      ...(received !== undefined && { received }),
    };
  }

  /** What was held back, at the end of the generation. */
  end(): ToolCallEvent[] {
    return [...this.#calls].flatMap(([key, { unwrapper }]): ToolCallEvent[] => {
      const rest = unwrapper?.end() ?? '';
      return rest === '' ? [] : [{ type: 'tool_call', key, arguments: rest, received: 0 }];
    });
  }

  /** Before the name is there, nobody knows what the arguments are. */
  #arguments(call: Call, piece: string | undefined): string | undefined {
    if (!call.named) {
      call.held += piece ?? '';
      return undefined;
    }
    const text = call.held + (piece ?? '');
    call.held = '';
    const input = call.unwrapper === undefined ? text : call.unwrapper.push(text);
    return input === '' ? undefined : input;
  }
}
