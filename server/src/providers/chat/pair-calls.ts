import type { InputItem } from '../../protocol/items.ts';

export type Call = Extract<InputItem, { type: 'function_call' | 'custom_tool_call' }>;
export type CallOutput = Extract<InputItem, { type: 'function_call_output' | 'custom_tool_call_output' }>;

export type PairedCalls = {
  outputOf: ReadonlyMap<Call, CallOutput>;
  /** The first of each kind that has no counterpart. */
  lonelyCall: Call | undefined;
  lonelyOutput: CallOutput | undefined;
};

/**
 * Finds the output of every tool call. Servers use a call id again in a later turn ("call_0"), so an output belongs to
 * the earliest call of its kind and id that is still without one.
 */
export function pairCalls(items: readonly InputItem[]): PairedCalls {
  const outputOf = new Map<Call, CallOutput>();
  const waiting = new Map<string, Call[]>();
  let lonelyOutput: CallOutput | undefined;
  for (const item of items) {
    if (item.type === 'function_call' || item.type === 'custom_tool_call') {
      const key = `${item.type}_output ${item.call_id}`;
      const calls = waiting.get(key) ?? [];
      calls.push(item);
      waiting.set(key, calls);
    } else if (item.type === 'function_call_output' || item.type === 'custom_tool_call_output') {
      const call = waiting.get(`${item.type} ${item.call_id}`)?.shift();
      if (call === undefined) lonelyOutput ??= item;
      else outputOf.set(call, item);
    }
  }
  const lonelyCall = [...waiting.values()].flat()[0];
  return { outputOf, lonelyCall, lonelyOutput };
}
