import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { storeConformance } from './conformance.ts';
import type { StoreHarness } from './conformance.ts';
import { stateConformance } from './state-conformance.ts';

async function open(): Promise<StoreHarness> {
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

storeConformance('sqlite', open);
stateConformance('sqlite', open);

test('a closed store refuses instead of hanging', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holt-store-'));
  const store = await SqliteStore.open(directory);
  await store.close();
  await assert.rejects(store.find('default', 'resp_1', 0), /the store is closed/);
  await rm(directory, { recursive: true });
});
