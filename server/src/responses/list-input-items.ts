import { apiError } from '../domain/errors.ts';
import type { Item, ItemsQuery } from '../domain/state-store.ts';
import type { ListPage } from '../protocol/list.ts';
import type { ResponsesDeps } from './deps.ts';
import { cursorNotFound, pageOf } from './page-of.ts';

/**
 * `GET /v1/responses/{id}/input_items`: a page of what the model was given, newest first unless asked otherwise. What
 * came before the request is in it as far as it is still there.
 */
export async function listInputItems(
  deps: ResponsesDeps,
  projectId: string,
  id: string,
  query: ItemsQuery,
): Promise<ListPage<Item>> {
  const input = await deps.store.findInput(projectId, id, deps.clock.now());
  if (input === undefined) throw apiError('response_not_found', { id });
  const items = query.order === 'asc' ? input : input.toReversed();
  const from = query.after === undefined ? 0 : placeOf(items, query, 'after') + 1;
  const to = query.before === undefined ? items.length : placeOf(items, query, 'before');
  const data = items.slice(from, Math.min(to, from + query.limit));
  return pageOf(data, from + data.length < to);
}

function placeOf(items: readonly Item[], query: ItemsQuery, param: 'after' | 'before'): number {
  const place = items.findIndex((item) => item.id === query[param]);
  if (place < 0) throw cursorNotFound(query, param);
  return place;
}
