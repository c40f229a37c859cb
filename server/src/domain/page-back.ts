import type { ItemsQuery } from './state-store.ts';

type Page<T> = { items: T[]; hasMore: boolean };

/** A page that ends before its cursor is the next one of the other order, turned round. */
export function pageBack<Query extends ItemsQuery, T>(query: Query, read: (query: Query) => Page<T>): Page<T> {
  if (query.before === undefined || query.after !== undefined) return read(query);
  const order = query.order === 'asc' ? 'desc' : 'asc';
  const { items, hasMore } = read({ ...query, order, after: query.before, before: undefined });
  return { items: items.toReversed(), hasMore };
}
