import { apiError } from '../domain/errors.ts';
import type { Ids, Store } from '../domain/ports.ts';
import { MOST_READ } from '../domain/state-store.ts';
import type { Item } from '../domain/state-store.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { InputContent, RequestItem, StoredItem } from '../protocol/items.ts';

type Deps = { store: Pick<Store, 'findItems'>; ids: Ids; clock: { now(): number } };

/**
 * The input of a request as a list of items with ids: what a provider gets, and what `input_items` shows. A string is
 * one user message; content is always a list of parts; a reference becomes the item it names, unless `history` has
 * that item already. Reasoning of which a client has kept nothing but the id is taken from the store if it is there.
 */
export async function expandInput(
  deps: Deps,
  projectId: string,
  input: NonNullable<CreateResponseBody['input']>,
  history: readonly Item[],
): Promise<Item[]> {
  const items: RequestItem[] = typeof input === 'string' ? [{ type: 'message', role: 'user', content: input }] : input;
  const seen = new Set(history.map((item) => item.id));
  const found = await findReferenced(deps, projectId, items, seen);
  return items.flatMap((item) => {
    if (item.type === 'item_reference') {
      if (seen.has(item.id)) return [];
      seen.add(item.id);
      return found.get(item.id) ?? [];
    }
    const kept = isBare(item) && !seen.has(item.id) ? found.get(item.id) : undefined;
    if (kept?.type === 'reasoning') {
      seen.add(kept.id);
      return [kept];
    }
    // Pages of items are cut at ids: an empty one, or one that was there before, is replaced.
    const usable = typeof item.id === 'string' && item.id !== '' && !seen.has(item.id);
    const resource = withId(usable ? item : { ...item, id: null }, deps.ids);
    seen.add(resource.id);
    return [resource];
  });
}

async function findReferenced(
  deps: Deps,
  projectId: string,
  items: readonly RequestItem[],
  history: ReadonlySet<string>,
): Promise<Map<string, Item>> {
  const references = new Set(items.flatMap((item) => (item.type === 'item_reference' ? [item.id] : [])));
  const bare = items.flatMap((item) => (isBare(item) ? [item.id] : []));
  const wanted = [...new Set([...references, ...bare])].filter((id) => !history.has(id));
  const found = new Map<string, Item>();
  if (wanted.length === 0) return found;
  const stored = await deps.store.findItems(projectId, wanted, deps.clock.now(), MOST_READ);
  if (stored.outcome === 'too_large') throw apiError('references_too_large');
  for (const [index, id] of wanted.entries()) {
    const item = stored.items[index];
    if (item !== undefined) found.set(id, item);
    else if (references.has(id)) throw apiError('referenced_item_not_found', { id });
  }
  return found;
}

type Reasoning = Extract<RequestItem, { type: 'reasoning' }>;

/** Some clients put together no more than the summaries of a stream; a model without any leaves them with an id. */
function isBare(item: RequestItem): item is Reasoning & { id: string } {
  if (item.type !== 'reasoning' || typeof item.id !== 'string' || item.id === '') return false;
  return item.summary.length === 0 && (item.content ?? []).length === 0 && (item.encrypted_content ?? null) === null;
}

/** With an id and a status, and without what is null: items are shown as the official description has them. */
function withId(item: StoredItem, ids: Ids): Item {
  return identified(withoutNulls(item), ids);
}

function identified(item: StoredItem, ids: Ids): Item {
  switch (item.type) {
    case 'message':
      return {
        ...item,
        id: item.id ?? ids.item('msg'),
        status: item.status ?? 'completed',
        content:
          typeof item.content === 'string'
            ? [
                item.role === 'assistant'
                  ? { type: 'output_text', text: item.content, annotations: [], logprobs: [] }
                  : { type: 'input_text', text: item.content },
              ]
            : item.content.map(shown),
      };
    case 'function_call':
      return { ...item, id: item.id ?? ids.item('fc'), status: item.status ?? 'completed' };
    case 'custom_tool_call':
      return { ...item, id: item.id ?? ids.item('ctc'), status: item.status ?? 'completed' };
    case 'function_call_output':
    case 'custom_tool_call_output':
      return {
        ...item,
        id: item.id ?? ids.item(item.type === 'function_call_output' ? 'fc' : 'ctc'),
        status: item.status ?? 'completed',
        output: typeof item.output === 'string' ? item.output : item.output.map(shown),
      };
    case 'reasoning':
      return { ...item, id: item.id ?? ids.item('rs') };
    case 'compaction':
      return { ...item, id: item.id ?? ids.item('cmp') };
  }
}

function shown<Part extends InputContent>(part: Part): Part {
  const without = withoutNulls(part);
  return without.type === 'input_image' ? { ...without, detail: without.detail ?? 'auto' } : without;
}

function withoutNulls<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null)) as T; // null is what it means to leave out
}
