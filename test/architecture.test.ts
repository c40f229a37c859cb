import assert from 'node:assert/strict';
import { glob, readFile } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import test from 'node:test';
import { ROOT } from './support/holt.ts';

/**
 * The rooms and their arrows (docs/ARCHITECTURE.md): arrows point to `protocol`, siblings never meet, only the root
 * files know every name.
 */
const SOURCE = join(ROOT, 'server/src');

/** What a room may import besides itself: other rooms, packages, `node:*`. */
const ALLOWED: Record<string, readonly string[]> = {
  protocol: ['zod'],
  domain: ['protocol'],
  responses: ['domain', 'protocol'],
  projects: ['domain', 'protocol', 'node:'],
  worker: ['domain', 'protocol'],
  webhooks: ['domain', 'protocol', 'node:', 'undici', 'standardwebhooks'],
  hints: ['domain', 'protocol'],
  limits: ['domain', 'protocol'],
  'stores/sqlite': ['domain', 'protocol', 'node:'],
  'providers/chat': ['domain', 'protocol', 'node:', 'undici', 'eventsource-parser'],
  'providers/scripted': ['domain', 'protocol'],
  http: ['responses', 'projects', 'domain', 'protocol', 'node:', 'fastify', 'zod'],
  cli: ['root'],
  root: [
    'domain',
    'hints',
    'http',
    'limits',
    'projects',
    'protocol',
    'providers/chat',
    'providers/scripted',
    'stores/sqlite',
    'webhooks',
    'worker',
    'node:',
    'gpt-tokenizer/encoding/o200k_base',
    'gpt-tokenizer/encoding/cl100k_base',
    'pino',
    'prom-client',
    'yaml',
    'zod',
  ],
};

type Import = { from: string; to: string };

function roomOf(file: string): string {
  const parts = relative(SOURCE, file).split('/');
  if (parts.length === 1) return 'root';
  const [first = '', second = ''] = parts;
  return first === 'stores' || first === 'providers' ? `${first}/${second}` : first;
}

/** Every import of a file, types included; a package is named by its own name. */
function importsOf(file: string, text: string): Import[] {
  const found = text.matchAll(
    /^(?:import|export)\b[^;]*?\bfrom '([^']+)'|\bimport\('([^']+)'\)|\bnew URL\('([^']+\.ts)'/gm,
  );
  return [...found].map((match) => {
    const name = match[1] ?? match[2] ?? `./${match[3] ?? ''}`;
    const to = name.startsWith('.') ? resolve(dirname(file), name) : name;
    return { from: file, to };
  });
}

function violations(imports: readonly Import[]): string[] {
  return imports.flatMap(({ from, to }) => {
    const room = roomOf(from);
    const target = to.startsWith('/') ? roomOf(to) : to.startsWith('node:') ? 'node:' : to;
    const allowed = target === room || ALLOWED[room]?.includes(target) === true;
    return allowed ? [] : [`${relative(SOURCE, from)} imports ${to.startsWith('/') ? relative(SOURCE, to) : to}`];
  });
}

/** The first ring of imports, types included. */
function ring(imports: readonly Import[]): string[] | undefined {
  const edges = Map.groupBy(imports, ({ from }) => from);
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const { to } of edges.get(file) ?? []) {
      const found = visit(to, [...path, file]);
      if (found !== undefined) return found;
    }
    done.add(file);
    return undefined;
  };
  for (const file of edges.keys()) {
    const found = visit(file, []);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function sourceImports(): Promise<Import[]> {
  const imports: Import[] = [];
  for await (const name of glob('**/*.ts', { cwd: SOURCE })) {
    const file = join(SOURCE, name);
    imports.push(...importsOf(file, await readFile(file, 'utf8')));
  }
  return imports;
}

test('the guard sees what it is there for', () => {
  const file = join(SOURCE, 'responses/create.ts');
  const bad = importsOf(
    file,
    "import { SqliteStore } from '../stores/sqlite/store.ts';\nimport fastify from 'fastify';\n",
  );
  assert.deepEqual(violations(bad), [
    'responses/create.ts imports stores/sqlite/store.ts',
    'responses/create.ts imports fastify',
  ]);
  const type = importsOf(join(SOURCE, 'domain/fold.ts'), "import type { Worker } from '../worker/worker.ts';\n");
  assert.equal(violations(type).length, 1);
  assert.deepEqual(violations(importsOf(file, "import { apiError } from '../domain/errors.ts';\n")), []);
  const loop = [
    { from: '/a', to: '/b' },
    { from: '/b', to: '/a' },
  ];
  assert.deepEqual(ring(loop), ['/a', '/b', '/a']);
});

test('no import goes against the arrows, and every room is known', async () => {
  const imports = await sourceImports();
  assert.ok(imports.length > 200, `only ${imports.length} imports were read`);
  assert.deepEqual(violations(imports), []);
  for (const { from } of imports) assert.ok(roomOf(from) in ALLOWED, `no such room: ${from}`);
});

test('no ring of imports, types included', async () => {
  const imports = await sourceImports();
  assert.equal(
    ring(imports)
      ?.map((file) => relative(SOURCE, file))
      .join(' -> '),
    undefined,
  );
});

test('the environment is read in one place', async () => {
  for await (const name of glob('**/*.ts', { cwd: SOURCE })) {
    const text = await readFile(join(SOURCE, name), 'utf8');
    if (name !== 'config.ts') assert.ok(!text.includes('process.env'), name);
  }
});
