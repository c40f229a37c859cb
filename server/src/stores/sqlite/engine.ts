import { append, read } from './chunks.ts';
import { compact } from './compact.ts';
import {
  addItems,
  createConversation,
  deleteConversation,
  deleteItem,
  findConversation,
  findItem,
  listItems,
  setMetadata,
} from './conversations.ts';
import type { Database } from './database.ts';
import { deleteResponse, sweep } from './forgetting.ts';
import { readChain, readConversation } from './history.ts';
import { findItems } from './items.ts';
import { listInput } from './list-input.ts';
import { openDatabase } from './open.ts';
import { claim, fenceForCancel, handBack, listOrphans, listOwned, takeOver } from './ownership.ts';
import { create, createEnded, find } from './responses.ts';
import {
  createEndpoint,
  deleteEndpoint,
  findEndpoint,
  listDeliveries,
  listEndpoints,
  listPending,
  recordAttempt,
  redeliver,
  rotateSecret,
  updateEndpoint,
} from './webhooks.ts';

/**
 * Runs groups of verbs, each group in one transaction: one sync makes all of them durable. Results leave only after
 * the commit, so nothing is ever seen that a power cut could take back.
 */

/** The client is typed by the Store port; here verbs and their arguments are data. */
type Verb = (db: Database, ...args: never[]) => unknown;

const WRITES = {
  create,
  createEnded,
  claim,
  append,
  fenceForCancel,
  takeOver,
  handBack,
  delete: deleteResponse,
  compact,
  sweep,
  createConversation,
  setMetadata,
  deleteConversation,
  addItems,
  deleteItem,
  createEndpoint,
  updateEndpoint,
  rotateSecret,
  deleteEndpoint,
  redeliver,
  recordAttempt,
} as const satisfies Record<string, Verb>;
const READS = {
  find,
  read,
  listOrphans,
  listOwned,
  readChain,
  readConversation,
  listInput,
  findItems,
  findConversation,
  listItems,
  findItem,
  findEndpoint,
  listEndpoints,
  listDeliveries,
  listPending,
} as const satisfies Record<string, Verb>;

export type VerbName = keyof typeof WRITES | keyof typeof READS;
export type Command = { verb: VerbName; args: unknown[] };
export type Result = { value: unknown } | { error: string };

export class Engine {
  readonly #db: Database;

  /**
   * Opens and, if need be, makes or upgrades the database.
   * @param used as `openDatabase` has it
   */
  constructor(file: string, used: boolean) {
    this.#db = openDatabase(file, used);
  }

  /** One result a command, in their order. */
  run(commands: readonly Command[]): Result[] {
    if (commands.every(({ verb }) => verb in READS)) return commands.map((command) => this.#alone(command));
    try {
      return this.#together(commands);
    } catch (error) {
      // One bad command must not fail its neighbours; a full disk fails each of them.
      return commands.length === 1
        ? [{ error: String(error) }]
        : commands.map((command) => this.run([command])[0] ?? { error: String(error) });
    }
  }

  /** Groups go on meanwhile; what they commit is in the copy. */
  copyTo(file: string, stopped: () => boolean): Promise<void> {
    return this.#db.copyTo(file, stopped);
  }

  close(): void {
    this.#db.close();
  }

  #together(commands: readonly Command[]): Result[] {
    this.#db.run('begin immediate');
    try {
      const results = commands.map((command) => ({ value: this.#call(command) }));
      this.#db.run('commit');
      return results;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  #rollBack(): void {
    try {
      this.#db.execute('rollback');
    } catch (error) {
      // SQLite has rolled back by itself after some I/O errors; then there is no transaction to end.
      if (!String(error).includes('no transaction is active')) throw error;
    }
  }

  #alone(command: Command): Result {
    try {
      return { value: this.#call(command) };
    } catch (error) {
      return { error: String(error) };
    }
  }

  #call({ verb, args }: Command): unknown {
    const call: Verb = verb in WRITES ? WRITES[verb as keyof typeof WRITES] : READS[verb as keyof typeof READS];
    return call(this.#db, ...(args as never[])); // what the client's port says
  }
}
