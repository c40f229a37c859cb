import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { Random } from '../support/random.ts';
import { REQUEST, answering, silentAt } from '../support/secret-request.ts';
import { startUpstream } from '../support/upstream.ts';
import { cancel, create, get, remove } from '../contract/wire.ts';
import { RetentionServers } from './retention-servers.ts';

/**
 * Zero data retention for a while: wave after wave of responses that end, are cancelled, deleted, killed or left to
 * expire. No slot of a file of keys ever comes back, and in the end nothing is left.
 */

const SEED = 20_261;
const WAVES = 12;
const WAVE = 150;
const PATIENCE_MS = 60_000;

const DESTROYED = '00'.repeat(32);

/** Every slot of every file, as it was seen first. */
class Slots {
  readonly #first = new Map<string, string>();
  readonly #destroyed = new Set<string>();
  destroyed = 0;

  look(files: readonly string[]): void {
    for (const file of files) {
      const bytes = readFileSync(file);
      for (let at = 0; at + 32 <= bytes.length; at += 32)
        this.#see(`${file}/${at}`, bytes.toString('hex', at, at + 32));
    }
  }

  #see(slot: string, key: string): void {
    if (key === DESTROYED) {
      if (!this.#destroyed.has(slot)) this.destroyed += 1;
      this.#destroyed.add(slot);
      return;
    }
    assert.ok(!this.#destroyed.has(slot), `${slot} is used again`);
    const first = this.#first.get(slot) ?? key;
    assert.equal(key, first, `${slot} has another key`);
    this.#first.set(slot, first);
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const last = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    assert.ok(performance.now() < last, what);
    await sleep(50);
  }
}

test('many sealed responses, swept again and again', { timeout: 600_000 }, async (t) => {
  const random = new Random(SEED);
  await using upstream = await startUpstream();
  await upstream.script('ends', answering());
  await upstream.script('hangs', silentAt('never'));
  await using servers = await RetentionServers.start(upstream.url, 'zero_data_retention', {
    retention: { zdr: '2 s' },
  });
  const slots = new Slots();
  const ids: string[] = [];
  for (let wave = 0; wave < WAVES; wave += 1) {
    const made = await Promise.all(
      Array.from({ length: WAVE }, async () => {
        const model = random.chance(0.9) ? 'ends' : 'hangs';
        const { id } = await create(servers.holt, { model, ...REQUEST, background: true });
        if (model === 'hangs') await cancel(servers.holt, id);
        else if (random.chance(0.2)) await remove(servers.holt, id);
        return id;
      }),
    );
    ids.push(...made);
    slots.look(servers.keyFiles());
    servers.assertNothingOnDisk(`wave ${wave}`);
    if (wave % 4 !== 3) continue;
    const { id } = await create(servers.holt, { model: 'hangs', ...REQUEST, background: true });
    ids.push(id);
    await servers.holt.kill();
    slots.look(servers.keyFiles());
    servers.assertNothingOnDisk(`wave ${wave}, killed`);
    await servers.start();
    await cancel(servers.holt, id);
  }
  for (const id of ids) {
    await until(`${id} is gone`, async () => (await get(servers.holt, `responses/${id}`)).status === 404);
  }
  slots.look(servers.keyFiles());
  await servers.holt.kill();
  await servers.start();
  // At its start a server removes what no response needs; what was not swept yet is, within seconds.
  await until('no file of keys is needed', () => servers.keyFiles().length === 0);
  servers.assertNothingOnDisk('in the end');
  await servers.assertNothingTold();
  t.diagnostic(
    `${ids.length} responses, ${slots.destroyed} keys, used or not, seen destroyed in files that were still there`,
  );
});
