import type { Ids } from '../domain/ports.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { InputItem } from '../protocol/items.ts';
import type { InputItemResource } from '../protocol/list.ts';

/**
 * The input of a request as a list of items with ids: what a provider gets, and what `input_items` shows. A string is
 * one user message; content is always a list of parts.
 */
export function expandInput(input: NonNullable<CreateResponseBody['input']>, ids: Ids): InputItemResource[] {
  const items: InputItem[] = typeof input === 'string' ? [{ type: 'message', role: 'user', content: input }] : input;
  const seen = new Set<string>();
  return items.map((item) => {
    // Pages of items are cut at ids: an empty one, or one that was there before, is replaced.
    const usable = typeof item.id === 'string' && item.id !== '' && !seen.has(item.id);
    const resource = withId(usable ? item : { ...item, id: null }, ids);
    seen.add(resource.id);
    return resource;
  });
}

function withId(item: InputItem, ids: Ids): InputItemResource {
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
            : item.content,
      };
    case 'function_call':
    case 'function_call_output':
      return { ...item, id: item.id ?? ids.item('fc'), status: item.status ?? 'completed' };
    case 'reasoning':
      return { ...item, id: item.id ?? ids.item('rs') };
  }
}
