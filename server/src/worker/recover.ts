import type { Assembler } from '../domain/assembler.ts';
import type { Metrics } from '../domain/metrics.ts';
import type { Log, Models, OwnedResponse, Store } from '../domain/ports.ts';
import { StoreDamaged, StoreUnavailable } from '../domain/ports.ts';
import { LOST, damagedFrom } from '../domain/lost-state.ts';
import { foldReadable } from '../domain/read-log.ts';
import { choosePolicy } from './choose-policy.ts';
import type { CrashSettings, Resumption } from './choose-policy.ts';

/** Taking over what dead processes left (design.md §8): fence, then decide from the log up to the fence. */

/** What the new owner can do with an orphan. */
export type Owner = {
  workerId: string;
  crash: CrashSettings;
  finishCancel(orphan: OwnedResponse): Promise<void>;
  /** Ends it with what `end` makes the assembler say. */
  close(orphan: OwnedResponse, end: (assembler: Assembler) => void): Promise<void>;
  /** Ends it since it has waited too long in the queue. */
  giveUp(orphan: OwnedResponse): Promise<void>;
  /** Goes on with it when there is a slot. */
  resume(orphan: OwnedResponse, resumption: Resumption): void;
  /** Keeps it without doing anything. */
  leaveAlone(orphan: OwnedResponse): void;
  /** Whether an unfinished row of this owner is running or being ended. */
  looksAfter(no: number, id: string): boolean;
};

type Deps = { store: Store; models: Models; log: Log; metrics: Metrics };

const ROW_PAGE = 200;
/** Orphans that are taken over at once, so that their fences share a commit: each brings its request into memory. */
const TAKEN_AT_ONCE = 16;

/** Resolves when every orphan has its fence and its policy is under way. */
export async function recoverOrphans(deps: Deps, owner: Owner): Promise<void> {
  for (let afterNo = 0; ;) {
    const orphans = await deps.store.listOrphans(owner.workerId, afterNo, TAKEN_AT_ONCE);
    await Promise.all(
      orphans.map(async ({ no }) => {
        const orphan = await deps.store.takeOver(no, owner.workerId);
        if (orphan !== undefined) await recoverOrReport(deps, owner, orphan);
      }),
    );
    if (orphans.length < TAKEN_AT_ONCE) return;
    afterNo = orphans.at(-1)?.no ?? afterNo;
  }
}

/**
 * Gives back what carries the owner's id and is not looked after, so that it is an orphan: a commit whose answer was
 * lost made it. Returns how many there were.
 */
export async function handBackStrays(deps: Deps, owner: Owner): Promise<number> {
  const count = await handBackOwned(deps.store, owner.workerId, (no, id) => owner.looksAfter(no, id));
  if (count > 0) deps.log.warn({ count }, 'found responses of this worker that do not run');
  return count;
}

/** Gives back what carries the worker's id, but for what `keeps` says. Returns how many there were. */
export async function handBackOwned(
  store: Pick<Store, 'listOwned' | 'handBack'>,
  workerId: string,
  keeps: (no: number, id: string) => boolean,
): Promise<number> {
  const nos: number[] = [];
  for (let afterNo = 0; ;) {
    const rows = await store.listOwned(workerId, afterNo, ROW_PAGE);
    for (const { no, id } of rows) {
      afterNo = no;
      if (!keeps(no, id)) nos.push(no);
    }
    if (rows.length < ROW_PAGE) break;
  }
  if (nos.length > 0) await store.handBack(workerId, nos);
  return nos.length;
}

/** One that defies even its end must not keep the others from being recovered. It can still be deleted. */
async function recoverOrReport(deps: Deps, owner: Owner, orphan: OwnedResponse): Promise<void> {
  try {
    await recover(deps, owner, orphan);
  } catch (error) {
    if (error instanceof StoreUnavailable && !(error instanceof StoreDamaged)) throw error;
    owner.leaveAlone(orphan);
    deps.log.error({ err: error, response_id: orphan.id }, 'this response can not be ended; it is left alone');
  }
}

async function recover(deps: Deps, owner: Owner, orphan: OwnedResponse): Promise<void> {
  const end = async (message: string): Promise<void> => {
    if (orphan.cancelRequestedAt !== null) await owner.finishCancel(orphan);
    else {
      await owner.close(orphan, (assembler) => {
        assembler.fail('server_error', message);
      });
    }
  };
  if (orphan.lost === 'key') {
    deps.metrics.recovered('key_lost');
    deps.log.error({ response_id: orphan.id }, 'the key of this response is lost, and with it all that it said');
    await end(LOST.key);
    return;
  }
  const { state: log, damage } = await foldReadable(deps.store, orphan.no);
  if (damage !== undefined || !log.started || log.ended || orphan.lost === 'request') {
    deps.metrics.recovered('damaged');
    await end(orphan.lost === 'request' ? LOST.request : damagedFrom(log.nextSequence));
    return;
  }
  // Nobody owns what is queued, but who cancels it and who ends it for its age.
  if (log.response.status === 'queued' && orphan.cancelRequestedAt === null) {
    deps.metrics.recovered('fail');
    await owner.giveUp(orphan);
    return;
  }
  const chosen = choosePolicy(orphan, log, deps.models.provider(orphan.provider), owner.crash);
  const { policy } = chosen;
  deps.log.info({ response_id: orphan.id, policy, attempt: orphan.attempt }, 'recovering a response');
  deps.metrics.recovered(policy);
  switch (chosen.policy) {
    case 'cancel':
      await owner.finishCancel(orphan);
      return;
    case 'fail':
      await owner.close(orphan, (assembler) => {
        assembler.fail('server_error', chosen.message);
      });
      return;
    case 'rerun':
    case 'reattach':
    case 'continue':
    case 'restart':
      owner.resume(orphan, chosen);
      return;
  }
}
