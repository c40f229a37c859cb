import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { decodePage } from '../../server/src/domain/read-log.ts';
import type { Response } from '../../server/src/protocol/response.ts';
import { SqliteStore } from '../../server/src/stores/sqlite/store.ts';
import { ROOT, spawnHolt, temporaryDirectory } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import { parseFrames } from '../support/sse.ts';
import type { Frame } from '../support/sse.ts';

/** These tests start servers by the dozen; this halves what a start costs. Node writes it when a server ends by itself. */
export const COMPILE_CACHE = { NODE_COMPILE_CACHE: join(ROOT, 'node_modules/.cache/holt-compile') };

/** A data directory and the server processes that live on it, one after the other. */
export class Machine implements AsyncDisposable {
  readonly data: string;
  readonly #flags: string[];
  #holt: HoltProcess | undefined;
  /** How often a server was killed with -9. */
  kills = 0;
  /** What the servers complained about, for whoever has to find out why a test failed. */
  complaints = '';

  private constructor(data: string, flags: string[]) {
    this.data = data;
    this.#flags = flags;
  }

  /**
   * @param signal that of the test: when its time is up the server is killed, which ends whatever waits for it
   * @param settings what `holt.yaml` says
   */
  static async start(signal: AbortSignal, settings?: object): Promise<Machine> {
    const data = await temporaryDirectory();
    const file = join(data, 'holt.yaml');
    if (settings !== undefined) await writeFile(file, JSON.stringify(settings)); // JSON is YAML
    const machine = new Machine(data, settings === undefined ? [] : ['--config', file]);
    signal.addEventListener('abort', () => machine.#holt?.process.kill('SIGKILL'));
    await machine.start();
    return machine;
  }

  get holt(): HoltProcess {
    if (this.#holt === undefined) throw new Error('no server runs');
    return this.#holt;
  }

  get url(): string {
    return this.holt.url;
  }

  /** Whether the last server still runs. */
  get state(): string {
    const { exitCode, signalCode } = this.holt.process;
    return exitCode === null && signalCode === null ? 'running' : `ended with ${exitCode ?? signalCode}`;
  }

  async start(): Promise<void> {
    const flags = [...this.#flags, '--log-level', 'warn'];
    this.#holt = await spawnHolt({ data: this.data, flags, env: COMPILE_CACHE });
    this.#holt.process.stderr?.on('data', (bytes: Buffer) => (this.complaints += bytes.toString()));
  }

  async kill(): Promise<void> {
    this.kills += 1;
    await this.holt.kill();
  }

  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** A server that is killed while it recovers: at its `count`th response, or as soon as it serves. */
  async startAndKill(count: number): Promise<void> {
    const cli = join(ROOT, 'server/src/cli/index.ts');
    const flags = ['--port', '0', '--data', this.data, ...this.#flags, '--log-level', 'info'];
    const env = { PATH: process.env['PATH'], ...COMPILE_CACHE };
    const child = spawn(process.execPath, [cli, 'serve', ...flags], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    const exited = once(child, 'exit');
    let recovering = 0;
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (line.includes('recovering a response')) recovering += 1;
      if (recovering === count) child.kill('SIGKILL');
    });
    child.stdout.once('data', () => child.kill('SIGKILL'));
    const [code, signal] = (await exited) as [number | null, string | null];
    if (signal !== 'SIGKILL') throw new Error(`a server that was to be killed ended with ${code ?? signal}`);
    this.kills += 1;
  }

  /** SIGTERM. Resolves with the exit code. */
  async terminate(): Promise<number | null> {
    const { process } = this.holt;
    const exited = once(process, 'exit');
    process.kill('SIGTERM');
    const [code] = (await exited) as [number | null];
    return code;
  }

  /** Opens the store while no server runs. */
  async withStore<T>(use: (store: SqliteStore) => Promise<T>): Promise<T> {
    const store = await SqliteStore.open(this.data);
    try {
      return await use(store);
    } finally {
      await store.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holt?.kill();
    await rm(this.data, { recursive: true, force: true });
  }
}

/** The log and the snapshot of an ended response that no GET may stream. */
export async function readStored(store: SqliteStore, id: string): Promise<{ log: Frame[]; final: Response }> {
  const row = await store.find('default', id, Date.now());
  if (row?.snapshot === null || row === undefined) throw new Error(`${id} has not ended`);
  const final = JSON.parse(new TextDecoder().decode(row.snapshot)) as Response;
  let text = '';
  for (let cursor = -1; ;) {
    const page = await store.read(row.no, cursor, 1 << 20);
    const events = decodePage(page, cursor, () => final);
    const last = events.at(-1);
    if (last === undefined) return { log: parseFrames(text), final };
    for (const event of events) text += `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    cursor = last.sequence_number;
  }
}
