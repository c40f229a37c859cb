import type { Clock, Ids, Log } from '../domain/ports.ts';
import type { ResponsesDeps } from '../responses/deps.ts';
import type { BackupMade } from '../protocol/admin.ts';
import type { CorsPolicy } from './cors.ts';

/** What only whoever runs the server may ask for. */
export type Admin = {
  key: string;
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
  /** Without one everybody on this machine may ask. */
  apiKey: string | undefined;
  /** Which pages of other origins may ask. */
  cors: CorsPolicy;
  bodyLimit: number;
  /** Of Holt. */
  version: string;
  keepAliveMs: number;
  ready: () => boolean;
};
