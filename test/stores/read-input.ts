import type { Store } from '../../server/src/domain/ports.ts';
import { MOST_READ } from '../../server/src/domain/state-store.ts';

/** The ids of a first page of what a response was given, oldest first. */
export async function inputOf(
  store: Store,
  id: string,
  project = 'default',
  now = 1_700_000_000_000,
): Promise<string[] | string> {
  const page = await store.listInput(project, id, now, { limit: 100, order: 'asc' }, MOST_READ);
  return page.outcome === 'page' ? page.items.map((one) => one.id) : page.outcome;
}
