import type { Clock, Ids, Log } from '../domain/ports.ts';
import type { ResponsesDeps } from '../responses/deps.ts';
import type { ConnectionLimits } from './connections.ts';
import type { CorsPolicy } from './cors.ts';

export type AppDeps = {
  responses: ResponsesDeps;
  clock: Clock;
  ids: Ids;
  log: Log;
  /** Without one everybody on this machine may ask. */
  apiKey: string | undefined;
  /** Which pages of other origins may ask. */
  cors: CorsPolicy;
  bodyLimit: number;
  connections: ConnectionLimits;
  /** Of Holt. */
  version: string;
  keepAliveMs: number;
  ready: () => boolean;
};
