import type { InputItem } from '../../protocol/items.ts';

export type FunctionCall = Extract<InputItem, { type: 'function_call' }>;
export type FunctionCallOutput = Extract<InputItem, { type: 'function_call_output' }>;

export type PairedCalls = {
  outputOf: ReadonlyMap<FunctionCall, FunctionCallOutput>;
  /** The first of each kind that has no counterpart. */
  lonelyCall: FunctionCall | undefined;
  lonelyOutput: FunctionCallOutput | undefined;
};

/**
 * Finds the output of every function call. Servers use a call id again in a later turn ("call_0"), so an output
 * belongs to the earliest call of its id that is still without one.
 */
export function pairCalls(items: readonly InputItem[]): PairedCalls {
  const outputOf = new Map<FunctionCall, FunctionCallOutput>();
  const waiting = new Map<string, FunctionCall[]>();
  let lonelyOutput: FunctionCallOutput | undefined;
  for (const item of items) {
    if (item.type === 'function_call') {
      const calls = waiting.get(item.call_id) ?? [];
      calls.push(item);
      waiting.set(item.call_id, calls);
    } else if (item.type === 'function_call_output') {
      const call = waiting.get(item.call_id)?.shift();
      if (call === undefined) lonelyOutput ??= item;
      else outputOf.set(call, item);
    }
  }
  const lonelyCall = [...waiting.values()].flat()[0];
  return { outputOf, lonelyCall, lonelyOutput };
}
