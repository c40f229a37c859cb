import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import type { StoreHarness } from './conformance.ts';

/** An empty SQLite store in a directory of its own. */
export async function openSqlite(): Promise<StoreHarness> {
  const directory = await mkdtemp(join(tmpdir(), 'holt-store-'));
  let store = await SqliteStore.open(directory);
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await SqliteStore.open(directory);
      return store;
    },
    dispose: async () => {
      await store.close();
      await rm(directory, { recursive: true });
    },
  };
}
