import { apiError } from '../domain/errors.ts';
import type { Item, ItemsQuery } from '../domain/state-store.ts';
import type { ListPage } from '../protocol/list.ts';

/** `first_id` and `last_id` are null when there is nothing (contract.md §8). */
export function pageOf(data: Item[], hasMore: boolean): ListPage<Item> {
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

export function cursorNotFound(query: ItemsQuery, param: 'after' | 'before'): Error {
  return apiError('item_not_found', { id: query[param], param });
}
