import assert from 'node:assert/strict';
import { decodePage } from '../../server/src/domain/read-log.ts';
import { isEnded } from '../../server/src/domain/status.ts';
import { hasLog, isOrphan } from './log-model.ts';
import type { Known } from './log-model.ts';
import type { LogWorld } from './log-world.ts';

/** What a store shows, against the model. */

/** Row and whole log, from any cursor in pages of any size. */
export async function look(world: LogWorld, known: Known, after = -1, maxBytes = 1 << 20): Promise<void> {
  await lookAtRow(world, known);
  const gone = known.deletedAt !== null || !hasLog(known);
  const seen = known.log.slice(0, after + 1);
  for (;;) {
    const page = await world.ask('read', known.no, seen.length - 1, maxBytes);
    if (gone) {
      assert.ok(
        page.chunks.every(({ body }) => body.length === 0),
        `${known.id}: a forgotten log still says something`,
      );
      const tombstone = known.deletedAt !== null && !known.purged && !known.logGone;
      assert.equal(page.closed, tombstone, `${known.id}: its tombstone`);
      return;
    }
    if (page.chunks.length === 0) {
      assert.equal(page.closed, known.tail.closed, `${known.id}: whether its log is closed`);
      break;
    }
    for (const event of decodePage(page, seen.length - 1, () => known.fold.response)) seen.push(JSON.stringify(event));
    assert.deepEqual(seen, known.log.slice(0, seen.length), `${known.id}: the log is not what was accepted`);
  }
  assert.equal(seen.length, Math.max(known.log.length, after + 1), `${known.id}: events were lost`);
  // The row's status is that of the last lifecycle event.
  assert.equal(known.fold.response.status, known.status, `${known.id}: status and log disagree`);
}

async function lookAtRow(world: LogWorld, known: Known): Promise<void> {
  const row = await world.ask('find', known.project.id, known.id, world.now);
  const gone = known.purged || known.deletedAt !== null || (isEnded(known.status) && known.expiresAt <= world.now);
  if (gone) {
    assert.equal(row, undefined, `${known.id}: a forgotten response came back`);
    return;
  }
  const { status, workerId, epoch, attempt, cancelRequestedAt, snapshot } = row ?? {};
  assert.deepEqual(
    { status, owner: workerId, epoch, attempt, cancelling: cancelRequestedAt !== null },
    {
      status: known.status,
      owner: known.owner,
      epoch: known.epoch,
      attempt: known.attempt,
      cancelling: known.cancelling,
    },
    known.id,
  );
  assert.equal(snapshot ? new TextDecoder().decode(snapshot) : null, known.snapshot, `${known.id}: its snapshot`);
}

/** Nothing is stuck: what is unfinished is queued, owned, or found by whoever looks for orphans. */
export async function lookForOrphans(world: LogWorld, worker: string): Promise<void> {
  if (!world.alone) return;
  const nos = (wanted: (known: Known) => boolean): number[] => world.responses.filter(wanted).map(({ no }) => no);
  const orphans = await world.ask('listOrphans', worker, 0, 1_000);
  assert.deepEqual(
    orphans.map(({ no }) => no),
    nos((known) => isOrphan(known, worker)),
    'orphans',
  );
  const owned = await world.ask('listOwned', worker, 0, 1_000);
  assert.deepEqual(
    owned.map(({ no }) => no),
    nos(({ owner }) => owner === worker),
    `rows of ${worker}`,
  );
}

export async function lookAtAll(world: LogWorld): Promise<void> {
  for (const known of world.responses) await look(world, known);
  await lookForOrphans(world, 'somebody');
}
