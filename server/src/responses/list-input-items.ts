import { apiError } from '../domain/errors.ts';
import type { InputItemResource, ListPage } from '../protocol/list.ts';
import type { ResponsesDeps } from './deps.ts';

export type InputItemsQuery = { limit: number; order: 'asc' | 'desc'; after?: string; before?: string };

/** `GET /v1/responses/{id}/input_items`: a page of the request's own items, newest first unless asked otherwise. */
export async function listInputItems(
  deps: ResponsesDeps,
  projectId: string,
  id: string,
  query: InputItemsQuery,
): Promise<ListPage<InputItemResource>> {
  const request = await deps.store.findRequest(projectId, id, deps.clock.now());
  if (request === undefined) throw apiError('response_not_found', { id });
  const items = query.order === 'asc' ? request.inputItems : request.inputItems.toReversed();
  const from = query.after === undefined ? 0 : placeOf(items, query.after, 'after') + 1;
  const to = query.before === undefined ? items.length : placeOf(items, query.before, 'before');
  const data = items.slice(from, Math.min(to, from + query.limit));
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: from + data.length < to,
  };
}

function placeOf(items: readonly InputItemResource[], id: string, param: string): number {
  const place = items.findIndex((item) => item.id === id);
  if (place < 0) throw apiError('item_not_found', { id, param });
  return place;
}
