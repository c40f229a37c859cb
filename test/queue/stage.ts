import { createHash } from 'node:crypto';
import OpenAI from 'openai';
import type { Provider, Turn } from '../../server/src/domain/ports.ts';
import type { NewProject } from '../../server/src/domain/project-store.ts';
import type { UpstreamEvent } from '../../server/src/domain/upstream-event.ts';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { clientOf } from '../support/holt.ts';
import type { TestHolt } from '../support/holt.ts';

/** What the tests of the queue share: projects with keys, and a model that says who has started. */

export const KEY = 'sk-of-the-default-project';

export function keyOf(project: string): string {
  return project === 'default' ? KEY : `sk-holt-${project.padEnd(43, '-')}`;
}

/** In a data directory that no server has, each with a key. */
export async function makeProjects(
  data: string,
  projects: Record<string, Partial<NewProject>>,
  more: (store: SqliteStore) => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  const store = await SqliteStore.open(data);
  for (const [id, over] of Object.entries(projects)) {
    const settings = { retention: null, weight: 1, maxRunning: null, limits: {}, createdAt: 0, ...over };
    await store.createProject({ id, name: id, ...settings });
    const hash = createHash('sha256').update(keyOf(id)).digest();
    const key = { name: 'test', mask: 'sk-***', limits: {}, createdAt: 0, expiresAt: null };
    await store.createKey({ ...key, id: `key_${id}`, projectId: id, hash });
  }
  await more(store);
  await store.close();
}

export function clientFor(holt: TestHolt, project: string): OpenAI {
  return clientOf(holt.url, keyOf(project));
}

/** A background request whose run is called `label`. */
export function named(label: string, over: object = {}): OpenAI.Responses.ResponseCreateParamsNonStreaming {
  return { model: 'otter', input: 'Hello', background: true, metadata: { label }, ...over };
}

/** Asks for its end until that is there. */
export async function ended(client: OpenAI, id: string): Promise<OpenAI.Responses.Response> {
  for (;;) {
    const response = await client.responses.retrieve(id, { query: { wait: 20 } } as object);
    if (response.status !== 'queued' && response.status !== 'in_progress') return response;
  }
}

type Run = { label: string; release: () => void };

/** A model whose runs last until they are released, unless they are free to go. */
export class Stage implements Provider {
  readonly name = 'otter';
  /** Labels, in the order in which they started. */
  readonly started: string[] = [];
  /** Those that run. */
  running: Run[] = [];
  /** Whether a run of this label waits for its release. */
  holds: (label: string) => boolean;
  #watching: (() => void)[] = [];

  constructor(holds: (label: string) => boolean = () => true) {
    this.holds = holds;
  }

  async *run(turn: Turn, signal: AbortSignal): AsyncGenerator<readonly UpstreamEvent[]> {
    const label = turn.request.metadata?.['label'] ?? '';
    const { promise, resolve } = Promise.withResolvers<void>();
    const run = { label, release: resolve };
    this.running.push(run);
    this.started.push(label);
    this.#tell();
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (this.holds(label)) await promise;
    this.running = this.running.filter((other) => other !== run);
    this.#tell();
    if (signal.aborted) return;
    yield [
      { type: 'text', delta: label },
      { type: 'finish', reason: 'stop' },
    ];
  }

  /** Resolves when `there` holds of what has started and runs; looked at whenever that changes. */
  async until(there: () => boolean): Promise<void> {
    while (!there()) await new Promise<void>((resolve) => this.#watching.push(resolve));
  }

  /** Lets every run of this label end. */
  release(label: string): void {
    for (const run of this.running) if (run.label === label) run.release();
  }

  #tell(): void {
    const watching = this.#watching;
    this.#watching = [];
    for (const look of watching) look();
  }

  unserved(): [] {
    return [];
  }

  check(): void {}

  models(): Promise<[]> {
    return Promise.resolve([]);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
