import { apiError } from '../domain/errors.ts';
import { MOST_READ } from '../domain/state-store.ts';
import type { Item, ItemsQuery } from '../domain/state-store.ts';
import type { ListPage } from '../protocol/list.ts';
import type { ResponsesDeps } from './deps.ts';
import { cursorNotFound, pageOf } from './page-of.ts';

/**
 * `GET /v1/responses/{id}/input_items`: a page of what the model was given, newest first unless asked otherwise. What
 * came before the request is in it as far as it is still there.
 */
export async function listInputItems(
  deps: Pick<ResponsesDeps, 'store' | 'clock'>,
  projectId: string,
  id: string,
  query: ItemsQuery,
): Promise<ListPage<Item>> {
  const page = await deps.store.listInput(projectId, id, deps.clock.now(), query, MOST_READ);
  if (page.outcome === 'absent') throw apiError('response_not_found', { id });
  if (page.outcome === 'no_cursor') throw cursorNotFound(query, page.param);
  return pageOf(page.items, page.hasMore);
}
