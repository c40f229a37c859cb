import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { NewResponse, Store } from '../../server/src/domain/ports.ts';
import { Database } from '../../server/src/stores/sqlite/database.ts';
import { Engine } from '../../server/src/stores/sqlite/engine.ts';
import type { Command } from '../../server/src/stores/sqlite/engine.ts';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { ZdrKeys } from '../../server/src/stores/sqlite/zdr-keys.ts';
import { storeConformance } from './conformance.ts';
import type { StoreHarness } from './conformance.ts';
import { idempotencyConformance } from './idempotency-conformance.ts';

/** Sealed responses are responses: what every store must do it does with them too. And what becomes of their keys. */

const NOW = 1_700_000_000_000;

/** Seals all that is created, and lets it live as long as was asked for. */
function sealing(store: Store): Store {
  const expiries = new Map<number, number>();
  return new Proxy(store, {
    get: (target, verb: keyof Store) => {
      if (verb === 'create') {
        const create: Store['create'] = async (response, queueMax) => {
          const made = await target.create({ ...response, zeroRetention: true }, queueMax);
          if (made.outcome === 'created') expiries.set(made.no, response.expiresAt);
          return made;
        };
        return create;
      }
      if (verb === 'append') {
        const append: Store['append'] = (appends) =>
          target.append(
            appends.map((one) => {
              const zdrExpiresAt = expiries.get(one.no) ?? NOW + 86_400_000;
              return one.end === undefined ? one : { ...one, end: { ...one.end, zdrExpiresAt } };
            }),
          );
        return append;
      }
      const found: unknown = target[verb];
      return typeof found === 'function' ? (found.bind(target) as unknown) : found;
    },
  });
}

async function openSealing(): Promise<StoreHarness> {
  const directory = await mkdtemp(join(tmpdir(), 'holt-zdr-'));
  let store = await SqliteStore.open(directory);
  return {
    store: sealing(store),
    reopen: async () => {
      await store.close();
      store = await SqliteStore.open(directory);
      return sealing(store);
    },
    dispose: async () => {
      await store.close();
      await rm(directory, { recursive: true });
    },
  };
}

storeConformance('sqlite, sealed', openSealing);
idempotencyConformance('sqlite, sealed', openSealing);

function withDirectory(use: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'holt-zdr-'));
  try {
    use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const keysIn = (file: string): string[] => {
  const bytes = readFileSync(file);
  return Array.from({ length: bytes.length / 32 }, (_, at) => bytes.toString('hex', at * 32, at * 32 + 32));
};
const DESTROYED = '00'.repeat(32);

describe('files of keys', () => {
  test('no slot is used twice, and a full file goes with the last response that needs it', () => {
    withDirectory((directory) => {
      const keys = new ZdrKeys(directory);
      const taken = Array.from({ length: 4_097 }, () => keys.take());
      assert.equal(new Set(taken.map(({ key }) => key.toString('hex'))).size, taken.length);
      assert.equal(readdirSync(directory).length, 2);
      const names = taken.map(({ name }) => name);
      keys.destroy(names.slice(0, 4_095));
      assert.equal(readdirSync(directory).length, 2);
      keys.destroy(names.slice(4_095, 4_096));
      const [left = '', ...none] = readdirSync(directory);
      assert.deepEqual(none, []);
      assert.ok(names[4_096]?.startsWith(left));
      keys.destroy(names.slice(4_096));
      assert.notEqual(keys.take().name, names[4_096], 'a slot that is free again stays unused');
    });
  });

  test('a key is on the disk before it is handed out, and its place is overwritten', () => {
    withDirectory((directory) => {
      const keys = new ZdrKeys(directory);
      const { name, key } = keys.take();
      const kept = keys.take();
      const hex = key.toString('hex');
      const file = join(directory, readdirSync(directory)[0] ?? '');
      assert.equal(keysIn(file)[0], hex);
      keys.destroy([name]);
      assert.equal(keysIn(file)[0], DESTROYED);
      assert.equal(keysIn(file)[1], kept.key.toString('hex'));
      assert.equal(key.toString('hex'), DESTROYED, 'in memory too');
    });
  });

  test('a new process finds the keys it is told of, and destroys every other', () => {
    withDirectory((directory) => {
      const former = new ZdrKeys(directory);
      const [wanted, other] = [former.take(), former.take()];
      const file = join(directory, readdirSync(directory)[0] ?? '');
      const found = new ZdrKeys(directory).open(new Set([wanted.name, 'gone.keys/3']));
      assert.deepEqual([...found.keys()], [wanted.name]);
      assert.deepEqual(found.get(wanted.name), wanted.key);
      assert.notEqual(other.key.toString('hex'), DESTROYED);
      assert.deepEqual(new Set(keysIn(file).slice(1)), new Set([DESTROYED]));
      new ZdrKeys(directory).open(new Set());
      assert.deepEqual(readdirSync(directory), []);
    });
  });
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function creating(id: string, zeroRetention = true): Command {
  const response: NewResponse = {
    id,
    projectId: 'default',
    model: 'otter',
    provider: 'scripted',
    stream: true,
    request: { body: { model: 'otter', input: 'hi' }, upstreamModel: 'otter', inputItems: [] },
    createdAt: NOW,
    expiresAt: NOW + 1_000,
    zeroRetention,
    previousResponseId: null,
    conversation: null,
    history: [],
    workerId: 'w1',
    chunk: { n: 0, firstSequence: 0, count: 3, epoch: 0, closed: false, body: bytes(`the chunk of ${id}`) },
  };
  return { verb: 'create', args: [response, 10] };
}

function ending(no: number): Command {
  const chunk = { n: 1, firstSequence: 3, count: 1, epoch: 0, closed: true, body: bytes('the end') };
  const end = { status: 'completed', snapshot: bytes('{}'), doneAt: NOW, logExpiresAt: NOW + 500 };
  const rest = { zdrExpiresAt: NOW + 100, outputIds: [], turn: [], eventId: null };
  return { verb: 'append', args: [[{ no, chunk, end: { ...end, ...rest } }]] };
}

function run(engine: Engine, ...commands: Command[]): unknown[] {
  return engine.run(commands).map((result) => ('value' in result ? result.value : result.error));
}

function textOf(engine: Engine, no: number): string {
  const [page] = run(engine, { verb: 'read', args: [no, -1, 1_000] }) as [{ chunks: { body: Uint8Array }[] }];
  return page.chunks.map(({ body }) => new TextDecoder().decode(body)).join('|');
}

describe('keys and rows', () => {
  test('who dies after the key and before the row leaves a response that is gone', () => {
    withDirectory((directory) => {
      const file = join(directory, 'holt.db');
      const engine = new Engine(file, false);
      run(engine, creating('resp_1'), ending(1));
      engine.close();
      const db = new Database(file);
      db.bodies.load([{ no: 1, slot: String(db.one('select zdr_slot from response')?.['zdr_slot']) }]);
      db.bodies.destroy([1]);
      db.close();

      const next = new Engine(file, false);
      assert.deepEqual(run(next, { verb: 'find', args: ['default', 'resp_1', NOW] }), [undefined]);
      run(next, { verb: 'sweep', args: [NOW + 10, NOW + 5, 10] });
      next.close();
      const after = new Database(file);
      assert.deepEqual(after.all('select no from response union select n from chunk'), []);
      after.close();
    });
  });

  test('a group that is undone leaves its neighbours their keys', () => {
    withDirectory((directory) => {
      const engine = new Engine(join(directory, 'holt.db'), false);
      const [first, twice, other] = run(engine, creating('resp_1'), creating('resp_1'), creating('resp_2'));
      assert.deepEqual(first, { outcome: 'created', no: 1 });
      assert.match(String(twice), /UNIQUE/);
      const { no } = other as { no: number };
      assert.equal(textOf(engine, 1), 'the chunk of resp_1');
      assert.equal(textOf(engine, no), 'the chunk of resp_2');
      assert.deepEqual(run(engine, creating('resp_3', false)), [{ outcome: 'created', no: no + 1 }]);
      assert.equal(textOf(engine, no + 1), 'the chunk of resp_3');
      engine.close();
    });
  });

  test('the window begins with the end, and the sweep takes the key with it', () => {
    withDirectory((directory) => {
      const engine = new Engine(join(directory, 'holt.db'), false);
      run(engine, creating('resp_1'), creating('resp_2'), creating('resp_3', false));
      run(engine, ending(1), ending(3));
      const find = (id: string, now: number): boolean =>
        run(engine, { verb: 'find', args: ['default', id, now] })[0] !== undefined;
      assert.deepEqual([find('resp_1', NOW + 99), find('resp_1', NOW + 100)], [true, false]);
      assert.ok(find('resp_2', NOW + 5_000), 'what runs does not expire');
      assert.ok(find('resp_3', NOW + 999), 'what is not sealed keeps its own time');
      const file = join(directory, 'zdr-keys', readdirSync(join(directory, 'zdr-keys'))[0] ?? '');
      run(engine, { verb: 'sweep', args: [NOW + 100, 0, 10] });
      assert.deepEqual(
        keysIn(file).flatMap((key, place) => (key === DESTROYED ? [place] : [])),
        [0],
      );
      assert.equal(textOf(engine, 2), 'the chunk of resp_2');
      engine.close();
    });
  });

  test('an idempotency key is sealed with its response, and known to the next process', () => {
    withDirectory((directory) => {
      const file = join(directory, 'holt.db');
      const idempotency = { key: 'the-order-of-Quartermaine', bodyHash: 'ab'.repeat(32), expiresAt: NOW + 1_000 };
      const create = (id: string): Command => {
        const { verb, args } = creating(id);
        return { verb, args: [{ ...(args[0] as NewResponse), idempotency }, 10] };
      };
      const engine = new Engine(file, false);
      const stored = (): boolean =>
        readdirSync(directory)
          .filter((name) => name.startsWith('holt.db'))
          .map((name) => readFileSync(join(directory, name)))
          .some((bytes) => bytes.includes(idempotency.key) || bytes.includes(idempotency.bodyHash, 0, 'hex'));
      const [made, undone, taken] = run(engine, create('resp_1'), creating('resp_1'), create('resp_2'));
      assert.deepEqual([made, taken], [{ outcome: 'created', no: 1 }, { outcome: 'key_taken' }]);
      assert.match(String(undone), /UNIQUE/, 'the group was undone, and each done by itself');
      engine.close();
      assert.ok(!stored());

      const next = new Engine(file, false);
      assert.deepEqual(run(next, create('resp_3')), [{ outcome: 'key_taken' }]);
      run(next, ending(1));
      run(next, { verb: 'delete', args: ['default', 'resp_1', NOW + 1] });
      const [again] = run(next, create('resp_4'));
      assert.equal((again as { outcome: string }).outcome, 'created');
      next.close();
      assert.ok(!stored());
    });
  });
});
