import type { Clock, Ids } from '../domain/ports.ts';
import type { ProjectStore } from '../domain/project-store.ts';

/** What an admin may change is made of. */
export type ProjectsDeps = {
  store: ProjectStore;
  clock: Clock;
  ids: Ids;
  known: {
    /** Something was changed. */
    changed(): void;
  };
  /** A project was deleted: what it had can go. */
  forget(): void;
};
