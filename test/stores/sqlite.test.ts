import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Database } from '../../server/src/stores/sqlite/database.ts';
import { migrate } from '../../server/src/stores/sqlite/schema.ts';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { storeConformance } from './conformance.ts';
import { idempotencyConformance } from './idempotency-conformance.ts';
import { modelCheck } from './model-check.ts';
import { openSqlite } from './open-sqlite.ts';
import { projectConformance } from './project-conformance.ts';
import { queueConformance } from './queue-conformance.ts';
import { stateConformance } from './state-conformance.ts';
import { usageConformance } from './usage-conformance.ts';
import { webhookConformance } from './webhook-conformance.ts';

storeConformance('sqlite', openSqlite);
stateConformance('sqlite', openSqlite);
webhookConformance('sqlite', openSqlite);
idempotencyConformance('sqlite', openSqlite);
projectConformance('sqlite', openSqlite);
queueConformance('sqlite', openSqlite);
usageConformance('sqlite', openSqlite);
modelCheck('sqlite', openSqlite);

test('a closed store refuses instead of hanging', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holt-store-'));
  const store = await SqliteStore.open(directory);
  await store.close();
  await assert.rejects(store.find('default', 'resp_1', 0), /the store is closed/);
  await rm(directory, { recursive: true });
});

test('the directory of an older Holt is upgraded, with what is in it', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'holt-store-'));
  const old = new Database(join(directory, 'holt.db'));
  migrate(old, 1);
  const request = JSON.stringify({ body: {}, upstreamModel: 'm', inputItems: [{ id: 'msg_1', type: 'message' }] });
  old.run(
    `insert into response (id, project_id, status, model, provider, background, stream, request, snapshot, created_at,
       expires_at, log_state) values ('resp_1', 'default', 'completed', 'm', 'p', 0, 0, ?, ?, 0, 10, 3)`,
    Buffer.from(request),
    Buffer.from('{"output":[{"id":"msg_2","type":"message"}]}'),
  );
  old.close();
  const store = await SqliteStore.open(directory);
  const chain = await store.readChain('default', 'resp_1', 0, 1_000);
  assert.deepEqual(chain.outcome === 'read' && chain.items.map(({ id }) => id), ['msg_1', 'msg_2']);
  const found = await store.findItems('default', ['msg_1', 'msg_2'], 0, 1_000);
  assert.deepEqual(found.outcome === 'read' && found.items.map((item) => item?.id), ['msg_1', 'msg_2']);
  await store.createConversation('default', { id: 'conv_1', createdAt: 0, metadata: {} }, []);
  await store.close();
  await rm(directory, { recursive: true });
});
