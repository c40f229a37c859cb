import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../support/holt.ts';
import { COMPILE_CACHE } from './machine.ts';
import { ANSWERS, REPORTS } from './points.ts';
import type { Report, Stop } from './points.ts';

/** One killable server process, and what became of it. */

export type Exit = { code: number | null; signal: NodeJS.Signals | null };

export type VictimOptions = {
  data: string;
  flags: readonly string[];
  stops: readonly Stop[];
  /** How long after a verb was sent a stop `during` it comes. */
  duringMs: number;
  /** How long a process stays stopped. */
  stoppedMs: number;
  onStop: (stop: { at: string; signal: Stop['signal'] }) => void;
};

export class Victim {
  /** Its URL as soon as it serves, or undefined when it has ended before. */
  readonly serves: Promise<string | undefined>;
  readonly exited: Promise<Exit>;
  /** What it complained about. */
  complaints = '';
  readonly #child: ChildProcess;
  readonly #options: VictimOptions;

  constructor(options: VictimOptions) {
    this.#options = options;
    const child = spawn(
      process.execPath,
      [
        '--import',
        join(import.meta.dirname, 'stop-statements.ts'),
        join(import.meta.dirname, 'killable.ts'),
        'serve',
        '--port',
        '0',
        '--data',
        options.data,
        '--log-level',
        'warn',
        ...options.flags,
      ],
      {
        cwd: ROOT,
        env: {
          PATH: process.env['PATH'],
          ...COMPILE_CACHE,
          HOLT_STOPS: JSON.stringify(options.stops),
          HOLT_STOP_DURING_MS: String(options.duringMs),
        },
        stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
      },
    );
    this.#child = child;
    // Who is dead reads no answer.
    child.stdio[ANSWERS]?.on('error', () => undefined);
    child.stderr?.on('data', (bytes: Buffer) => (this.complaints += bytes.toString()));
    createInterface({ input: child.stdio[REPORTS] as Readable }).on('line', (line) => {
      this.#hear(JSON.parse(line) as Report);
    });
    // All of what it said has been read by then.
    this.exited = once(child, 'close').then(([code, signal]) => ({ code, signal }));
    const url = new Promise<string>((resolve) => {
      createInterface({ input: child.stdout as Readable }).on('line', (line) => {
        const found = / at (http:\/\/\S+)\/v1$/.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
    });
    this.serves = Promise.race([url, this.exited.then(() => undefined)]);
  }

  send(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Stops it from outside, lets it go on after a while. */
  async pause(): Promise<void> {
    this.send('SIGSTOP');
    await sleep(this.#options.stoppedMs);
    this.send('SIGCONT');
  }

  #hear(said: Report): void {
    this.#options.onStop(said);
    if (said.signal !== 'SIGSTOP') return;
    void this.pause().then(() => (this.#child.stdio[ANSWERS] as Writable).write('.'));
  }
}
