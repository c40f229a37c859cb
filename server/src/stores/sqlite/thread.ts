import { parentPort, workerData } from 'node:worker_threads';
import { DatabaseLocked } from './database.ts';
import { Engine } from './engine.ts';
import type { Command, Result } from './engine.ts';
import { unpackAppends } from './pack.ts';
import type { PackedAppends } from './pack.ts';

/** The store thread: syncs block here, never the event loop that relays (design.md §6). */

export type ToThread =
  | { kind: 'run'; commands: Command[] }
  | { kind: 'copy'; file: string }
  | { kind: 'stop_copy' }
  | { kind: 'close' };
export type FromThread =
  | { kind: 'ready'; accepts: boolean }
  | { kind: 'refused'; locked: boolean; message: string }
  | { kind: 'results'; results: Result[]; accepts: boolean }
  | { kind: 'copied'; error: string | undefined }
  | { kind: 'closed' };

const port = parentPort;
if (port === null) throw new Error('the store thread has no parent');

const engine = open();

function open(): Engine | undefined {
  try {
    const { file, used } = workerData as { file: string; used: boolean }; // given by SqliteStore
    const opened = new Engine(file, used);
    reply({ kind: 'ready', accepts: opened.accepts });
    return opened;
  } catch (error) {
    reply({
      kind: 'refused',
      locked: error instanceof DatabaseLocked,
      message: error instanceof Error ? error.message : String(error),
    });
    return undefined;
  }
}

/** The copy under way, of which there is at most one. */
let copying: Promise<void> | undefined;
let copyStopped = false;

async function copy(file: string): Promise<void> {
  copyStopped = false;
  let failure: string | undefined;
  try {
    await engine?.copyTo(file, () => copyStopped);
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  }
  copying = undefined;
  reply({ kind: 'copied', error: failure });
}

async function close(): Promise<void> {
  copyStopped = true;
  await copying;
  engine?.close();
  reply({ kind: 'closed' });
  port?.close();
}

port.on('message', (message: ToThread) => {
  if (message.kind !== 'run') {
    if (message.kind === 'copy') copying = copy(message.file);
    else if (message.kind === 'stop_copy') copyStopped = true;
    else void close();
    return;
  }
  for (const command of message.commands) {
    if (command.verb === 'append') command.args = [unpackAppends(command.args[0] as PackedAppends)];
  }
  const results = engine?.run(message.commands) ?? [];
  reply({ kind: 'results', results, accepts: engine?.accepts ?? false });
});

function reply(message: FromThread): void {
  port?.postMessage(message);
}
