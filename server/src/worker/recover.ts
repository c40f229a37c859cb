import type { Assembler } from '../domain/assembler.ts';
import type { Fold } from '../domain/fold.ts';
import { StoreUnavailable } from '../domain/ports.ts';
import type { Metrics, Recovery } from '../domain/metrics.ts';
import type { Log, OwnedResponse, Store } from '../domain/ports.ts';
import { foldLog } from '../domain/read-log.ts';

/** Taking over what dead processes left (design.md §8): fence, then decide from the log up to the fence. */

/** What the new owner can do with an orphan. */
export type Owner = {
  workerId: string;
  maxAttempts: number;
  finishCancel(orphan: OwnedResponse): Promise<void>;
  /** Ends it with what `end` makes the assembler say. */
  close(orphan: OwnedResponse, end: (assembler: Assembler) => void): Promise<void>;
  /** Runs it again when there is a slot. */
  rerun(orphan: OwnedResponse): void;
  /** Keeps it without doing anything. */
  leaveAlone(orphan: OwnedResponse): void;
  /** Whether an unfinished row of this owner is running or being ended. */
  looksAfter(no: number, id: string): boolean;
};

type Deps = { store: Store; log: Log; metrics: Metrics };

const ROW_PAGE = 200;

/** Resolves when every orphan has its fence and its policy is under way. */
export async function recoverOrphans(deps: Deps, owner: Owner): Promise<void> {
  for (let afterNo = 0; ;) {
    const orphans = await deps.store.listOrphans(owner.workerId, afterNo, ROW_PAGE);
    for (const { no } of orphans) {
      afterNo = no;
      const orphan = await deps.store.takeOver(no, owner.workerId);
      if (orphan !== undefined) await recoverOrReport(deps, owner, orphan);
    }
    if (orphans.length < ROW_PAGE) return;
  }
}

/**
 * Gives back what carries the owner's id and is not looked after, so that it is an orphan: a commit whose answer was
 * lost made it. Returns how many there were.
 */
export async function handBackStrays(deps: Deps, owner: Owner): Promise<number> {
  const strays: number[] = [];
  for (let afterNo = 0; ;) {
    const rows = await deps.store.listOwned(owner.workerId, afterNo, ROW_PAGE);
    for (const { no, id } of rows) {
      afterNo = no;
      if (!owner.looksAfter(no, id)) strays.push(no);
    }
    if (rows.length < ROW_PAGE) break;
  }
  if (strays.length === 0) return 0;
  deps.log.warn({ count: strays.length }, 'found responses of this worker that do not run');
  await deps.store.handBack(owner.workerId, strays);
  return strays.length;
}

/** A log that can't be read must not keep the others from being recovered. */
async function recoverOrReport(deps: Deps, owner: Owner, orphan: OwnedResponse): Promise<void> {
  try {
    await recover(deps, owner, orphan);
  } catch (error) {
    if (error instanceof StoreUnavailable) throw error;
    owner.leaveAlone(orphan);
    deps.metrics.recovered('damaged');
    deps.log.error({ err: error, response_id: orphan.id }, 'the log of this response is damaged; it is left alone');
  }
}

async function recover(deps: Deps, owner: Owner, orphan: OwnedResponse): Promise<void> {
  const log = await foldLog(deps.store, orphan.no);
  const policy = choosePolicy(orphan, log, owner.maxAttempts);
  deps.log.info({ response_id: orphan.id, policy, attempt: orphan.attempt }, 'recovering a response');
  deps.metrics.recovered(policy);
  switch (policy) {
    case 'cancel':
      await owner.finishCancel(orphan);
      return;
    case 'fail':
      await owner.close(orphan, (assembler) => {
        assembler.fail('server_error', log.response.output.length === 0 ? TRIED_TOO_OFTEN : INTERRUPTED);
      });
      return;
    case 'rerun':
      owner.rerun(orphan);
      return;
  }
}

/**
 * - `cancel`: somebody asked for it, whatever the log holds.
 * - `rerun` (policy 0): nothing past `in_progress` was logged, so nobody can tell.
 * - `fail` (policy 3): something was shown that can't be repeated, or it has been tried too often.
 */
type Policy = Exclude<Recovery, 'damaged'>;

function choosePolicy(orphan: OwnedResponse, log: Fold, maxAttempts: number): Policy {
  if (orphan.cancelRequestedAt !== null) return 'cancel';
  if (log.response.output.length > 0) return 'fail';
  return orphan.attempt > maxAttempts ? 'fail' : 'rerun';
}

const INTERRUPTED = 'The server stopped while this response was running; what had been produced is kept.';
const TRIED_TOO_OFTEN = 'The server stopped each time it ran this response; it will not be tried again.';
