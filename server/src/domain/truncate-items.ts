import type { InputItem } from '../protocol/items.ts';

/**
 * `truncation: auto`: the input without its oldest items, for a model whose context it did not fit into. Whoever calls
 * it again drops more.
 */

/** Of what may go, the part that goes at once: a context that is too small by far is found in a dozen tries. */
const SHARE = 0.25;

/**
 * Keeps system and developer messages, and everything from the last message of the user on. A call and its output go
 * together. Undefined when nothing is left that may go.
 */
export function dropOldest(items: readonly InputItem[]): InputItem[] | undefined {
  const lastUser = items.findLastIndex((item) => item.type === 'message' && item.role === 'user');
  const end = lastUser < 0 ? items.length - 1 : lastUser;
  const kept = callsOf(items.slice(end));
  const sizes = items.map((item, place) => (place < end && mayGo(item, kept) ? JSON.stringify(item).length : 0));
  const goal = sizes.reduce((sum, size) => sum + size, 0) * SHARE;
  if (goal === 0) return undefined;
  const dropped = new Set<InputItem>();
  const calls = new Set<string>();
  let size = 0;
  for (const [place, item] of items.entries()) {
    if (size >= goal) break;
    if (sizes[place] === 0) continue;
    dropped.add(item);
    if ('call_id' in item) calls.add(item.call_id);
    size += sizes[place] ?? 0;
  }
  return items.filter((item) => !dropped.has(item) && !('call_id' in item && calls.has(item.call_id)));
}

function mayGo(item: InputItem, keptCalls: ReadonlySet<string>): boolean {
  if (item.type === 'message') return item.role === 'user' || item.role === 'assistant';
  return !('call_id' in item && keptCalls.has(item.call_id));
}

function callsOf(items: readonly InputItem[]): Set<string> {
  return new Set(items.flatMap((item) => ('call_id' in item ? [item.call_id] : [])));
}
