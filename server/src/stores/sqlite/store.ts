import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { StoreClosed, StoreDamaged, StoreUnavailable } from '../../domain/ports.ts';
import type { Append, Store } from '../../domain/ports.ts';
import { ADVICE, DatabaseDamaged, hasCompanions, isDamageText, whatIsLost } from './damage.ts';
import type { Command, Result, VerbName } from './engine.ts';
import { packAppends } from './pack.ts';
import type { FromThread, ToThread } from './thread.ts';

/**
 * The embedded store: a client of the store thread. Group commit: one group of verbs is under way at a time, what
 * comes meanwhile is the next group. No verb has a bound of its own: the thread answers each group or dies, and when
 * it dies everything is rejected.
 */

type Call = { command: Command; resolve: (value: unknown) => void; reject: (error: Error) => void };

export class SqliteStore implements Store {
  readonly #thread: Worker;
  #waiting: Call[] = [];
  #underWay: Call[] = [];
  #scheduled = false;
  /** As of the last group. */
  #accepts: boolean;
  #dead: Error | undefined;
  #closing = false;
  readonly #onDied = Promise.withResolvers<string>();
  #copy: { resolve: () => void; reject: (error: Error) => void } | undefined;
  readonly #onClosed = Promise.withResolvers<void>();

  private constructor(thread: Worker, accepts: boolean) {
    this.#thread = thread;
    this.#accepts = accepts;
    thread.on('message', (message: FromThread) => {
      if (message.kind === 'results') {
        this.#accepts = message.accepts;
        this.#settle(message.results);
      }
      if (message.kind === 'copied') this.#copied(message.error);
      if (message.kind === 'closed') this.#onClosed.resolve();
    });
    thread.on('error', (error) => {
      this.#die(error instanceof Error ? error : new Error(String(error)));
    });
    thread.on('exit', () => {
      this.#die(new Error('it has ended'));
      this.#onClosed.resolve();
    });
  }

  /**
   * Opens `<directory>/holt.db`, made if missing. Waits ten seconds for another process to let go of it, then rejects
   * with a message that names the directory. A database that is damaged or lost is refused and not touched.
   */
  static async open(directory: string): Promise<SqliteStore> {
    // What clients have said is nobody else's on this machine.
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const file = join(directory, 'holt.db');
    const lost = await whatIsLost(directory);
    if (lost !== undefined) throw new DatabaseDamaged(file, lost, 'untouched');
    const used = await hasCompanions(directory);
    const thread = new Worker(new URL('thread.ts', import.meta.url), { workerData: { file, used } });
    const first = await new Promise<FromThread>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
      thread.once('exit', () => {
        reject(new Error('the store thread has ended before it had opened the database'));
      });
    });
    if (first.kind === 'refused') {
      await thread.terminate();
      throw new Error(
        first.locked
          ? `The data directory ${directory} is in use by another Holt. Stop that one, or give this one another --data.`
          : `The data directory ${directory} can't be opened: ${first.message}`,
      );
    }
    return new SqliteStore(thread, first.kind === 'ready' && first.accepts);
  }

  create: Store['create'] = (...args) => this.#call('create', args);
  createEnded: Store['createEnded'] = (...args) => this.#call('createEnded', args);
  find: Store['find'] = (...args) => this.#call('find', args);
  findByKey: Store['findByKey'] = (...args) => this.#call('findByKey', args);
  claim: Store['claim'] = (...args) => this.#call('claim', args);
  queuePosition: Store['queuePosition'] = (...args) => this.#call('queuePosition', args);
  takeOverdue: Store['takeOverdue'] = (...args) => this.#call('takeOverdue', args);
  append: Store['append'] = (appends: readonly Append[]) => this.#call('append', [packAppends(appends)]);
  read: Store['read'] = (...args) => this.#call('read', args);
  fenceForCancel: Store['fenceForCancel'] = (...args) => this.#call('fenceForCancel', args);
  listOrphans: Store['listOrphans'] = (...args) => this.#call('listOrphans', args);
  listOwned: Store['listOwned'] = (...args) => this.#call('listOwned', args);
  takeOver: Store['takeOver'] = (...args) => this.#call('takeOver', args);
  handBack: Store['handBack'] = (...args) => this.#call('handBack', args);
  delete: Store['delete'] = (...args) => this.#call('delete', args);
  compact: Store['compact'] = (...args) => this.#call('compact', args);
  measure: Store['measure'] = () => this.#call('measure', []);
  sweep: Store['sweep'] = (...args) => this.#call('sweep', args);
  readChain: Store['readChain'] = (...args) => this.#call('readChain', args);
  readConversation: Store['readConversation'] = (...args) => this.#call('readConversation', args);
  listInput: Store['listInput'] = (...args) => this.#call('listInput', args);
  findItems: Store['findItems'] = (...args) => this.#call('findItems', args);
  createConversation: Store['createConversation'] = (...args) => this.#call('createConversation', args);
  findConversation: Store['findConversation'] = (...args) => this.#call('findConversation', args);
  setMetadata: Store['setMetadata'] = (...args) => this.#call('setMetadata', args);
  deleteConversation: Store['deleteConversation'] = (...args) => this.#call('deleteConversation', args);
  addItems: Store['addItems'] = (...args) => this.#call('addItems', args);
  listItems: Store['listItems'] = (...args) => this.#call('listItems', args);
  findItem: Store['findItem'] = (...args) => this.#call('findItem', args);
  deleteItem: Store['deleteItem'] = (...args) => this.#call('deleteItem', args);
  createEndpoint: Store['createEndpoint'] = (...args) => this.#call('createEndpoint', args);
  findEndpoint: Store['findEndpoint'] = (...args) => this.#call('findEndpoint', args);
  listEndpoints: Store['listEndpoints'] = (...args) => this.#call('listEndpoints', args);
  updateEndpoint: Store['updateEndpoint'] = (...args) => this.#call('updateEndpoint', args);
  rotateSecret: Store['rotateSecret'] = (...args) => this.#call('rotateSecret', args);
  deleteEndpoint: Store['deleteEndpoint'] = (...args) => this.#call('deleteEndpoint', args);
  listDeliveries: Store['listDeliveries'] = (...args) => this.#call('listDeliveries', args);
  redeliver: Store['redeliver'] = (...args) => this.#call('redeliver', args);
  listPending: Store['listPending'] = (...args) => this.#call('listPending', args);
  recordAttempt: Store['recordAttempt'] = (...args) => this.#call('recordAttempt', args);
  createProject: Store['createProject'] = (...args) => this.#call('createProject', args);
  findProject: Store['findProject'] = (...args) => this.#call('findProject', args);
  listProjects: Store['listProjects'] = (...args) => this.#call('listProjects', args);
  updateProject: Store['updateProject'] = (...args) => this.#call('updateProject', args);
  deleteProject: Store['deleteProject'] = (...args) => this.#call('deleteProject', args);
  listDeletedProjects: Store['listDeletedProjects'] = (...args) => this.#call('listDeletedProjects', args);
  forgetProject: Store['forgetProject'] = (...args) => this.#call('forgetProject', args);
  createKey: Store['createKey'] = (...args) => this.#call('createKey', args);
  findKey: Store['findKey'] = (...args) => this.#call('findKey', args);
  listKeys: Store['listKeys'] = (...args) => this.#call('listKeys', args);
  deleteKey: Store['deleteKey'] = (...args) => this.#call('deleteKey', args);
  hasKeys: Store['hasKeys'] = (...args) => this.#call('hasKeys', args);
  touchKeys: Store['touchKeys'] = (...args) => this.#call('touchKeys', args);
  listResponses: Store['listResponses'] = (...args) => this.#call('listResponses', args);
  recordAudit: Store['recordAudit'] = (...args) => this.#call('recordAudit', args);
  listAudit: Store['listAudit'] = (...args) => this.#call('listAudit', args);
  addUsage: Store['addUsage'] = (...args) => this.#call('addUsage', args);
  readUsage: Store['readUsage'] = (...args) => this.#call('readUsage', args);
  probe: Store['probe'] = () => this.#call('probe', []);
  accepts: Store['accepts'] = () => this.#dead === undefined && this.#accepts;

  /**
   * Copies the database into `file` while verbs go on; what they commit meanwhile is in it. Resolves when it is
   * complete and synced; rejects when it is not, as when `signal` aborts or the store is closed. One copy at a time.
   */
  async copyTo(file: string, signal: AbortSignal): Promise<void> {
    if (this.#dead !== undefined) throw new StoreClosed('the store is closed', { cause: this.#dead });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (this.#copy !== undefined) throw new Error('a copy is under way');
    this.#copy = { resolve, reject };
    const stop = (): void => {
      this.#post({ kind: 'stop_copy' });
    };
    this.#post({ kind: 'copy', file });
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  #copied(error: string | undefined): void {
    const copy = this.#copy;
    this.#copy = undefined;
    if (error === undefined) copy?.resolve();
    else copy?.reject(new Error(error));
  }

  /** Resolves with what to say of it when the thread has died: it has ended, and nobody has closed the store. */
  get died(): Promise<string> {
    return this.#onDied.promise;
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#dead === undefined) this.#post({ kind: 'close' });
    await this.#onClosed.promise;
    await this.#thread.terminate();
  }

  #call<T>(verb: VerbName, args: unknown[]): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#dead !== undefined) {
        reject(new StoreClosed('the store is closed', { cause: this.#dead }));
        return;
      }
      this.#waiting.push({ command: { verb, args }, resolve: resolve as (value: unknown) => void, reject });
      if (this.#scheduled || this.#underWay.length > 0) return;
      this.#scheduled = true;
      // After this turn of the loop, so that all its verbs share a commit.
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#send();
      });
    });
  }

  #send(): void {
    if (this.#underWay.length > 0 || this.#waiting.length === 0) return;
    this.#underWay = this.#waiting;
    this.#waiting = [];
    this.#post({ kind: 'run', commands: this.#underWay.map(({ command }) => command) });
  }

  #settle(results: readonly Result[]): void {
    const settled = this.#underWay;
    this.#underWay = [];
    this.#send();
    for (const [index, call] of settled.entries()) {
      const result = results[index] ?? { error: 'the store thread gave no result' };
      if ('value' in result) call.resolve(result.value);
      else call.reject(failureOf(call.command.verb, result.error));
    }
  }

  #die(error: Error): void {
    this.#dead ??= error;
    if (!this.#closing) {
      // What is no JSON is quoted in the error, and may be content.
      const words = error instanceof SyntaxError ? error.name : error.message.replaceAll('\n', '; ');
      this.#onDied.resolve(
        `The thread of the store has died (${words}). What was acknowledged is stored: start Holt again.`,
      );
    }
    const lost = [...this.#underWay, ...this.#waiting];
    this.#underWay = [];
    this.#waiting = [];
    for (const call of lost) call.reject(new StoreClosed('the store is closed', { cause: error }));
    this.#copied('the store is closed');
  }

  #post(message: ToThread): void {
    this.#thread.postMessage(message);
  }
}

/** What the thread says of a page that is damaged comes with what to do about it. */
function failureOf(verb: VerbName, error: string): StoreUnavailable {
  if (isDamageText(error)) return new StoreDamaged(`${verb}: ${error}. ${ADVICE}`);
  return new StoreUnavailable(`${verb}: ${error}`);
}
