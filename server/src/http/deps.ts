import type { Clock, Ids, Log } from '../domain/ports.ts';
import type { ResponsesDeps } from '../responses/deps.ts';

export type AppDeps = {
  responses: ResponsesDeps;
  clock: Clock;
  ids: Ids;
  log: Log;
  /** Without one everybody on this machine may ask. */
  apiKey: string | undefined;
  bodyLimit: number;
  keepAliveMs: number;
  ready: () => boolean;
};
