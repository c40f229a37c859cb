import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { once } from 'node:events';
import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { execute } from '../execute.ts';
import { ROOT, spawnHolt, temporaryDirectory } from '../holt.ts';
import type { HoltProcess } from '../holt.ts';
import { skipUnavailable } from '../unavailable.ts';

/** A data directory on a disk that fails as a test says (shim.c), and the server that lives on it. */

/** The fields of `struct control` in shim.c, in their order. */
const FIELDS = [
  'writeErrno',
  'syncErrno',
  'syncDelay',
  'room',
  'syncs',
  'faults',
  'clockOffset',
  'early',
  'readErrno',
  'lastSync',
  'spoil',
] as const;
type Field = (typeof FIELDS)[number];

const { EIO, ENOSPC } = constants.errno;
/** What a test can do to the disk, and take back with `HEALTHY`. */
export const HEALTHY = { writeErrno: 0, syncErrno: 0, syncDelay: 0, readErrno: 0, room: -1, spoil: 0 };
export const FAULTS = {
  'no room for any write': { writeErrno: ENOSPC },
  'an error of every write': { writeErrno: EIO },
  'an error of every sync': { syncErrno: EIO },
  'no room, as syncs say it': { syncErrno: ENOSPC },
};
/** Syncs fail, and with them the sectors that they were to write: the end of the last durable commit lies in the first. */
export const SPOILING = { syncErrno: EIO, spoil: 1 };
/** It leaves alone what is in memory. */
export const UNREADABLE = { readErrno: EIO };

export class Disk implements AsyncDisposable {
  readonly data: string;
  readonly #shim: string;
  readonly #platter: string;
  readonly #control: number;
  readonly #controlFile: string;
  readonly #seed: number;
  #holt: HoltProcess | undefined;

  private constructor(directory: string, shim: string, seed: number) {
    this.data = join(directory, 'data');
    this.#platter = join(directory, 'platter');
    this.#shim = shim;
    this.#seed = seed;
    this.#controlFile = join(directory, 'control');
    writeFileSync(this.#controlFile, new Uint8Array(FIELDS.length * 8));
    this.#control = openSync(this.#controlFile, 'r+');
    this.set(HEALTHY);
  }

  /** Undefined, and the test skipped, where no C compiler is. The disk is empty, and no server runs on it. */
  static async make(t: TestContext, seed = 1): Promise<Disk | undefined> {
    const directory = await temporaryDirectory();
    const shim = join(directory, 'shim.so');
    const source = join(ROOT, 'test/support/disk/shim.c');
    const compiled = await execute('cc', ['-shared', '-fPIC', '-O2', '-o', shim, source, '-ldl', '-lpthread'], {});
    if ('missing' in compiled) {
      skipUnavailable(t, `there is no C compiler for the faulty disk: ${compiled.missing}`);
      return undefined;
    }
    if (compiled.code !== 0) throw new Error(compiled.stderr);
    const disk = new Disk(directory, shim, seed);
    await mkdir(disk.data);
    await mkdir(disk.#platter);
    t.signal.addEventListener('abort', () => disk.#holt?.process.kill('SIGKILL'));
    return disk;
  }

  get holt(): HoltProcess {
    if (this.#holt === undefined) throw new Error('no server runs');
    return this.#holt;
  }

  get url(): string {
    return this.holt.url;
  }

  /** @param below the directory that is on the faulty disk; files in directories of it are not */
  async start(below = this.data): Promise<void> {
    const file = join(this.data, 'holt.yaml');
    await writeFile(file, JSON.stringify({ worker: { drain: '500ms' } })); // JSON is YAML
    this.#holt = await spawnHolt({
      data: this.data,
      flags: ['--config', file],
      env: {
        LD_PRELOAD: this.#shim,
        DISK_BELOW: below,
        DISK_PLATTER: this.#platter,
        DISK_CONTROL: this.#controlFile,
        DISK_SEED: String(this.#seed),
        NODE_COMPILE_CACHE: join(ROOT, 'node_modules/.cache/holt-compile'),
      },
    });
  }

  /** SIGTERM, with little time for what runs. Resolves with the exit code. */
  async terminate(): Promise<number | null> {
    const { process } = this.holt;
    const exited = once(process, 'exit');
    process.kill('SIGTERM');
    const [code] = (await exited) as [number | null];
    return code;
  }

  /** kill -9, and what was not synced is gone. */
  async cutPower(): Promise<void> {
    await this.holt.kill();
    await this.loseUnsynced();
  }

  /** To be called when no server runs. */
  async loseUnsynced(): Promise<void> {
    for (const name of await readdir(this.data)) await rm(join(this.data, name), { recursive: true });
    await cp(this.#platter, this.data, { recursive: true });
  }

  set(fields: Partial<Record<Field, number>>): void {
    for (const [name, value] of Object.entries(fields)) {
      const bytes = new BigInt64Array([BigInt(value)]);
      writeSync(this.#control, bytes, 0, 8, FIELDS.indexOf(name as Field) * 8);
    }
  }

  get(field: Field): number {
    const bytes = new BigInt64Array(1);
    readSync(this.#control, bytes, 0, 8, FIELDS.indexOf(field) * 8);
    return Number(bytes[0]);
  }

  /** Resolves when so many more calls have been refused, or `signal` aborts. */
  async refused(count: number, signal?: AbortSignal): Promise<void> {
    const enough = this.get('faults') + count;
    while (this.get('faults') < enough) {
      if (signal?.aborted === true) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holt?.kill();
    closeSync(this.#control);
  }
}
