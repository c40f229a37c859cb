import type { ListPage } from '../protocol/list.ts';
import { apiError } from './errors.ts';
import type { Page, PageQuery } from './webhook-store.ts';

/** A page as clients see it. Throws for a cursor that is not there. */
export function toListPage<T, W extends { id: string }>(
  page: Page<T>,
  query: PageQuery,
  toWire: (entry: T) => W,
): ListPage<W> {
  if (page.outcome !== 'page') throw apiError('item_not_found', { id: query.after, param: 'after' });
  const data = page.entries.map(toWire);
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: page.hasMore,
  };
}
