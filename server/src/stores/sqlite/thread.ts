import { parentPort, workerData } from 'node:worker_threads';
import { DatabaseLocked } from './database.ts';
import { Engine } from './engine.ts';
import type { Command, Result } from './engine.ts';
import { unpackAppends } from './pack.ts';
import type { PackedAppends } from './pack.ts';

/** The store thread: syncs block here, never the event loop that relays (design.md §6). */

export type ToThread = { kind: 'run'; commands: Command[] } | { kind: 'close' };
export type FromThread =
  | { kind: 'ready'; accepts: boolean }
  | { kind: 'refused'; locked: boolean; message: string }
  | { kind: 'results'; results: Result[]; accepts: boolean }
  | { kind: 'closed' };

const port = parentPort;
if (port === null) throw new Error('the store thread has no parent');

const engine = open();

function open(): Engine | undefined {
  try {
    const opened = new Engine((workerData as { file: string }).file); // given by SqliteStore
    reply({ kind: 'ready', accepts: opened.accepts });
    return opened;
  } catch (error) {
    reply({ kind: 'refused', locked: error instanceof DatabaseLocked, message: String(error) });
    return undefined;
  }
}

port.on('message', (message: ToThread) => {
  if (message.kind === 'close') {
    engine?.close();
    reply({ kind: 'closed' });
    port?.close();
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
