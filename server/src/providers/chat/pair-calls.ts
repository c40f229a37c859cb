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
  const waiting = new Map<string, { calls: Call[]; answered: number }>();
  let lonelyOutput: CallOutput | undefined;
  for (const item of items) {
    if (item.type === 'function_call' || item.type === 'custom_tool_call') {
      const key = `${item.type}_output ${item.call_id}`;
      const known = waiting.get(key);
      if (known === undefined) waiting.set(key, { calls: [item], answered: 0 });
      else known.calls.push(item);
    } else if (item.type === 'function_call_output' || item.type === 'custom_tool_call_output') {
      const known = waiting.get(`${item.type} ${item.call_id}`);
      const call = known?.calls[known.answered];
      if (known === undefined || call === undefined) lonelyOutput ??= item;
      else {
        known.answered += 1;
        outputOf.set(call, item);
      }
    }
  }
  const lonelyCall = [...waiting.values()].flatMap(({ calls, answered }) => calls.slice(answered, answered + 1))[0];
  return { outputOf, lonelyCall, lonelyOutput };
}
