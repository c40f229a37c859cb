import type { StoredItem } from './items.ts';

/** A page of a cursor list (contract.md §1.5). `first_id` and `last_id` are null when the page is empty (§8). */
export type ListPage<T> = {
  object: 'list';
  data: T[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
};

/** An item as lists show it: with the id that pagination needs. */
export type InputItemResource = StoredItem & { id: string };

export type Model = { id: string; object: 'model'; created: number; owned_by: string };
