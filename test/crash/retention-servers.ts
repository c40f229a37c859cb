import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TextFinder } from '../support/find-text.ts';
import { spawnHolt, temporaryDirectory } from '../support/holt.ts';
import type { HoltProcess } from '../support/holt.ts';
import { SAID } from '../support/secret-request.ts';

export const finder = new TextFinder(SAID);

/** The servers of one data directory, one after the other, which say all that they can say. */
export class RetentionServers implements AsyncDisposable {
  readonly data: string;
  readonly #flags: string[];
  #holt: HoltProcess | undefined;
  #past = '';

  private constructor(data: string, flags: string[]) {
    this.data = data;
    this.#flags = flags;
  }

  /** @param url of the upstream */
  static async start(
    url: string,
    mode: string,
    { retention, ...settings }: { retention?: object; [key: string]: object | undefined } = {},
  ): Promise<RetentionServers> {
    const data = await temporaryDirectory();
    const file = join(data, 'holt.yaml');
    await writeFile(file, JSON.stringify({ ...settings, retention: { mode, ...retention } })); // JSON is YAML
    const servers = new RetentionServers(data, ['--config', file, '--upstream', url, '--log-level', 'debug']);
    await servers.start();
    return servers;
  }

  get holt(): HoltProcess {
    if (this.#holt === undefined) throw new Error('no server runs');
    return this.#holt;
  }

  /** All that they have printed. */
  get said(): string {
    return `${this.#past}${this.#holt?.output() ?? ''}${this.#holt?.errors() ?? ''}`;
  }

  async start(): Promise<void> {
    this.#past = this.said;
    this.#holt = await spawnHolt({ data: this.data, flags: this.#flags });
  }

  keyFiles(): string[] {
    const directory = join(this.data, 'zdr-keys');
    return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
  }

  assertNothingOnDisk(when: string): void {
    assert.deepEqual(finder.inDirectory(this.data), [], when);
  }

  async assertNothingTold(): Promise<void> {
    assert.notEqual(this.said, '');
    assert.deepEqual(finder.inBytes(Buffer.from(this.said), 'log'), []);
    const metrics = await fetch(`${this.holt.url}/metrics`);
    assert.deepEqual(finder.inBytes(Buffer.from(await metrics.text()), 'metrics'), []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holt?.kill();
  }
}
