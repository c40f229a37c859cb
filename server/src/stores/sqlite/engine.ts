import { dirname } from 'node:path';
import { Ballast } from './ballast.ts';
import { createKey, deleteKey, findKey, hasKeys, listKeys, touchKeys } from './api-keys.ts';
import { listAudit, recordAudit } from './audit.ts';
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
import { diskFault } from './database.ts';
import type { Database } from './database.ts';
import { forgetProject, listDeletedProjects } from './forget-project.ts';
import { deleteResponse, sweep } from './forgetting.ts';
import { readChain, readConversation } from './history.ts';
import { findByKey } from './idempotency.ts';
import { findItems } from './items.ts';
import { listInput } from './list-input.ts';
import { listResponses } from './list-responses.ts';
import { measure } from './measure.ts';
import { openDatabase } from './open.ts';
import { claim, fenceForCancel, handBack, listOrphans, listOwned, takeOver, takeOverdue } from './ownership.ts';
import { createProject, deleteProject, findProject, listProjects, updateProject } from './projects.ts';
import { queuePosition } from './queue.ts';
import { create, createEnded, find } from './responses.ts';
import { addUsage, readUsage } from './usage.ts';
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
  takeOverdue,
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
  createProject,
  updateProject,
  deleteProject,
  forgetProject,
  createKey,
  deleteKey,
  touchKeys,
  recordAudit,
  addUsage,
  probe: (db: Database): void => {
    db.probe();
  },
} as const satisfies Record<string, Verb>;
const READS = {
  find,
  findByKey,
  queuePosition,
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
  findProject,
  listProjects,
  listDeletedProjects,
  findKey,
  listKeys,
  hasKeys,
  listResponses,
  listAudit,
  readUsage,
  measure,
} as const satisfies Record<string, Verb>;

export type VerbName = keyof typeof WRITES | keyof typeof READS;
export type Command = { verb: VerbName; args: unknown[] };
export type Result = { value: unknown } | { error: string };

/** Verbs that bring more to come, and so are refused while there is no ballast. */
const NEW_WORK: ReadonlySet<VerbName> = new Set([
  'create',
  'claim',
  'createConversation',
  'addItems',
  'createEndpoint',
  'createProject',
  'createKey',
  'probe',
]);

export class Engine {
  readonly #db: Database;
  readonly #ballast: Ballast;
  /** A write or a sync has failed, and the disk has not taken one since. */
  #hurt = false;

  /**
   * Opens and, if need be, makes or upgrades the database.
   * @param used as `openDatabase` has it
   */
  constructor(file: string, used: boolean) {
    let ballast: Ballast | undefined;
    this.#db = openDatabase(file, used, () => {
      ballast = new Ballast(dirname(file));
      return ballast.giveUp();
    });
    this.#ballast = ballast ?? new Ballast(dirname(file));
  }

  /** Whether new work would be taken. */
  get accepts(): boolean {
    return !this.#hurt && this.#ballast.held;
  }

  /** One result a command, in their order. */
  run(commands: readonly Command[]): Result[] {
    if (commands.every(isRead)) return commands.map((command) => this.#alone(command));
    if (!this.#ballast.held) return this.#runWithoutBallast(commands);
    return this.#write(commands);
  }

  /** Groups go on meanwhile; what they commit is in the copy. */
  copyTo(file: string, stopped: () => boolean): Promise<void> {
    return this.#db.copyTo(file, stopped);
  }

  close(): void {
    this.#db.close();
  }

  #runWithoutBallast(commands: readonly Command[]): Result[] {
    let refusal: string | undefined;
    if (commands.some(({ verb }) => verb === 'probe')) {
      try {
        this.#ballast.make();
        return this.run(commands);
      } catch (error) {
        refusal = String(error);
      }
    }
    const admitted = commands.filter(({ verb }) => !NEW_WORK.has(verb));
    const results = this.#write(admitted).values();
    return commands.map(({ verb }) =>
      NEW_WORK.has(verb)
        ? { error: `no new work while the disk is full${refusal === undefined ? '' : `: ${refusal}`}` }
        : (results.next().value ?? { error: 'no result' }),
    );
  }

  #write(commands: readonly Command[]): Result[] {
    if (commands.length === 0) return [];
    try {
      if (this.#hurt) this.#db.mend();
      this.#hurt = false;
      return this.#together(commands);
    } catch (error) {
      const fault = diskFault(error);
      if (fault === 'full' && this.#ballast.giveUp()) return this.run(commands);
      if (fault === 'failing') this.#hurt = true;
      // One bad command must not fail its neighbours. A disk fails each of them, but what is stored can be read.
      if (fault === undefined && !this.#hurt && commands.length > 1) {
        return commands.map((command) => this.run([command])[0] ?? { error: sayWhy(error) });
      }
      return commands.map((command) => (isRead(command) ? this.#alone(command) : { error: sayWhy(error) }));
    }
  }

  #together(commands: readonly Command[]): Result[] {
    this.#db.run('begin immediate');
    try {
      const results = commands.map((command) => ({ value: this.#call(command) }));
      this.#db.run('commit');
      this.#db.bodies.settle('committed');
      return results;
    } catch (error) {
      this.#db.bodies.settle('rolled back');
      this.#db.rollBack();
      throw error;
    }
  }

  #alone(command: Command): Result {
    try {
      return { value: this.#call(command) };
    } catch (error) {
      return { error: sayWhy(error) };
    }
  }

  #call({ verb, args }: Command): unknown {
    const call: Verb = verb in WRITES ? WRITES[verb as keyof typeof WRITES] : READS[verb as keyof typeof READS];
    return call(this.#db, ...(args as never[])); // what the client's port says
  }
}

function isRead({ verb }: Command): boolean {
  return verb in READS;
}

/**
 * For logs, which hold no content: SQLite speaks of its tables and the disk, never of values. What else goes wrong, as
 * in reading JSON, may quote what it stumbled over.
 */
function sayWhy(error: unknown): string {
  if (!(error instanceof Error)) return 'something that is no error was thrown';
  return 'errcode' in error ? `${error.message} (SQLite ${String(error.errcode)})` : error.name;
}
