import type { Response } from '../protocol/response.ts';
import type { AuditEntry } from './audit.ts';
import type { RetentionMode } from './retention.ts';
import type { Page, PageQuery } from './webhook-store.ts';

/** Whose responses are kept apart, who may ask for which, and who has changed that. Times in ms. */

/** Of clients that have the key the server was started with, or none. It is there from the beginning. */
export const DEFAULT_PROJECT = 'default';

/** What a project or a key may use, as its JSON says; `protocol/admin.ts` says what that can be. */
export type StoredLimits = Record<string, number>;

export type StoredProject = {
  id: string;
  name: string;
  /** Null: as the configuration says. */
  retention: RetentionMode | null;
  /** Its share of the slots while others wait, against theirs. */
  weight: number;
  /** How many of its background responses run at once; null: as many as there are slots. */
  maxRunning: number | null;
  limits: StoredLimits;
  createdAt: number;
  updatedAt: number;
};
export type NewProject = Omit<StoredProject, 'updatedAt'>;
export type ProjectChange = Partial<Pick<StoredProject, 'name' | 'retention' | 'weight' | 'maxRunning' | 'limits'>>;

export type StoredKey = {
  id: string;
  projectId: string;
  name: string;
  /** What of it may be shown to people. */
  mask: string;
  limits: StoredLimits;
  createdAt: number;
  expiresAt: number | null;
  lastUsedAt: number | null;
};
/** `hash` is the sha256 of the key, which is stored nowhere. */
export type NewKey = Omit<StoredKey, 'lastUsedAt'> & { hash: Uint8Array };
export type FoundKey = StoredKey & { hash: Uint8Array };

export type StoredAuditEntry = AuditEntry & { id: string };

/** A response as a list shows it: nothing of what it says. */
export type ListedResponse = {
  id: string;
  status: Response['status'];
  model: string;
  background: boolean;
  createdAt: number;
  doneAt: number | null;
};
export type ResponsesQuery = PageQuery & { status?: Response['status'] | undefined };

/**
 * A part of the port `Store`; the same rules hold. A verb that changes something for an admin adds its entry to the
 * audit log in the same transaction, if it made a difference.
 */
export interface ProjectStore {
  createProject(project: NewProject): Promise<void>;
  /** Undefined for one that is unknown or deleted. */
  findProject(id: string): Promise<StoredProject | undefined>;
  listProjects(query: PageQuery): Promise<Page<StoredProject>>;
  updateProject(id: string, change: ProjectChange, now: number): Promise<StoredProject | undefined>;
  /**
   * Takes its keys away and disables its webhook endpoints; from then on it takes no new work. The rest of it is there
   * until `forgetProject` has been through it.
   */
  deleteProject(id: string, now: number): Promise<boolean>;
  /** Ids of deleted projects of which something may be left, oldest first. */
  listDeletedProjects(limit: number): Promise<string[]>;
  /**
   * Forgets up to `limit` rows of each kind that a deleted project has. What runs is left, and its ids are returned:
   * up to `limit` of them. `done`: there is nothing left of it, and never will be.
   */
  forgetProject(id: string, now: number, limit: number): Promise<{ unfinished: string[]; done: boolean }>;

  createKey(key: NewKey): Promise<'created' | 'project_absent'>;
  /** Also one that has expired. */
  findKey(hash: Uint8Array): Promise<FoundKey | undefined>;
  listKeys(projectId: string, query: PageQuery): Promise<Page<StoredKey>>;
  deleteKey(projectId: string, id: string, now: number): Promise<boolean>;
  /** Whether there is any key, expired ones included. */
  hasKeys(): Promise<boolean>;
  /** When keys were used last. What is no later than what is known, or of a key that is gone, changes nothing. */
  touchKeys(uses: readonly { id: string; at: number }[]): Promise<void>;

  /** Newest first; `absent` when the project is. */
  listResponses(projectId: string, query: ResponsesQuery, now: number): Promise<Page<ListedResponse>>;

  recordAudit(entry: AuditEntry): Promise<void>;
  listAudit(query: PageQuery): Promise<Page<StoredAuditEntry>>;
}

/** What is known of projects without asking the store each time. */
export interface Projects {
  /**
   * Undefined for one that is unknown or deleted. A change made by this process is seen at once, another's within
   * seconds. Rejects as the store does.
   */
  find(id: string): StoredProject | undefined | Promise<StoredProject | undefined>;
}
