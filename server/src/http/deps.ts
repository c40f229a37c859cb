import type { Metrics } from '../domain/metrics.ts';
import type { Clock, Ids, Log } from '../domain/ports.ts';
import type { ResponsesDeps } from '../responses/deps.ts';
import type { ProjectsDeps } from '../projects/deps.ts';
import type { BackupMade } from '../protocol/admin.ts';
import type { Keys } from './authenticate.ts';
import type { ConnectionLimits } from './connections.ts';
import type { CorsPolicy } from './cors.ts';

/** How `/metrics` is served. */
export type Exposition = {
  /** `key`: as the API, with the key if there is one. */
  access: 'key' | 'open';
  contentType: string;
  render: () => Promise<string>;
};

/** What only whoever runs the server may ask for. */
export type Admin = {
  key: string;
  projects: ProjectsDeps;
  /**
   * Copies the data directory into the new directory `to`, while everything goes on. Throws a row of the error table.
   * When `signal` aborts nothing is left of the copy.
   */
  backup(to: string, signal: AbortSignal): Promise<BackupMade>;
};

export type AppDeps = {
  admin: Admin;
  responses: ResponsesDeps;
  clock: Clock;
  ids: Ids;
  log: Log;
  metrics: Metrics;
  /** Undefined: switched off. */
  exposition: Exposition | undefined;
  /** Of the project `default`. Without one, and without `keys`, everybody on this machine may ask. */
  apiKey: string | undefined;
  /** Of projects. */
  keys: Keys;
  /** Only programs of this machine reach the server. */
  loopback: boolean;
  /** Which pages of other origins may ask. */
  cors: CorsPolicy;
  bodyLimit: number;
  connections: ConnectionLimits;
  /** Of Holt. */
  version: string;
  keepAliveMs: number;
  /** Why no work can be taken, undefined when it can. */
  unready: () => Promise<string | undefined>;
};
