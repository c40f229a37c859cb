import type { Database } from './database.ts';

/**
 * The queue: whose turn it is (stride scheduling), and who has to wait. Counts come from partial indexes, so that no
 * row is written by everybody. What starts without waiting takes no turn: nobody was waiting for it.
 */

/** Rows that wait for a slot. The indexes `response_waiting` hold no others, and are found by these words. */
export const WAITING = "status = 'queued' and worker_id is null and cancel_requested_at is null";

type Contender = {
  id: string;
  weight: number;
  /** Where its turns have come to. */
  pass: number;
  /** How many more it may run. */
  room: number;
  /** The row that is its next; undefined when none waits. */
  next: number | undefined;
};

/**
 * Gives up to `limit` turns, and writes down where they have come to. Returns the projects that have others waiting,
 * and run as many as they may.
 * @param createdAfter older rows get no turn, ms
 * @param take makes the row no longer wait
 */
export function takeTurns(db: Database, limit: number, createdAfter: number, take: (no: number) => void): string[] {
  const contenders = contendersOf(db, Number(db.one('select pass from queue')?.['pass']), createdAfter);
  const moved = new Set<Contender>();
  let turn: number | undefined;
  for (let taken = 0; taken < limit; taken += 1) {
    const first = firstOf(contenders);
    if (first?.next === undefined) break;
    take(first.next);
    turn = first.pass;
    first.pass += 1 / first.weight;
    first.room -= 1;
    first.next = nextOf(db, first.id, createdAfter);
    moved.add(first);
  }
  for (const { id, pass } of moved) db.run('update project set pass = ? where id = ?', pass, id);
  if (turn !== undefined) db.run('update queue set pass = ?', turn);
  return contenders.filter(({ room, next }) => room <= 0 && next !== undefined).map(({ id }) => id);
}

/** Projects with rows that wait, found one after the other in the index, however many rows each has. */
export const CONTENDERS = `
  with recursive waiting(id) as (
    select min(project_id) from response where ${WAITING}
    union all
    select (select min(project_id) from response where ${WAITING} and project_id > waiting.id)
      from waiting where waiting.id is not null
  )
  select project.id, weight, pass, max_running,
         case when max_running is not null then (
           select count(*) from response
            where project_id = project.id and status = 'in_progress' and response.deleted_at is null
         ) end as running
    from waiting join project on project.id = waiting.id
   where project.deleted_at is null`;

/** @param turn where the last turn was: whoever is behind that did not wait meanwhile */
function contendersOf(db: Database, turn: number, createdAfter: number): Contender[] {
  return db.all(CONTENDERS).map((row) => {
    const id = String(row['id']);
    const max = row['max_running'];
    return {
      id,
      weight: Number(row['weight']),
      pass: Math.max(Number(row['pass']), turn),
      room: max === null ? Infinity : Number(max) - Number(row['running']),
      next: nextOf(db, id, createdAfter),
    };
  });
}

/** Of equals the one whose row is older. */
function firstOf(contenders: readonly Contender[]): Contender | undefined {
  let first: Contender | undefined;
  for (const contender of contenders) {
    const { next, pass, room } = contender;
    if (next === undefined || room <= 0) continue;
    if (first?.next === undefined || pass < first.pass || (pass === first.pass && next < first.next)) first = contender;
  }
  return first;
}

export const NEXT = `
  select no from response where project_id = ? and ${WAITING} and created_at > ?
   order by priority desc, no limit 1`;

function nextOf(db: Database, projectId: string, createdAfter: number): number | undefined {
  const row = db.one(NEXT, projectId, createdAfter);
  return row === undefined ? undefined : Number(row['no']);
}

/** Whether a row that has a slot would overtake others of its project, or be one more than it may run. */
export function mustWait(db: Database, projectId: string): boolean {
  const max = db.one('select max_running from project where id = ?', projectId)?.['max_running'];
  if (typeof max !== 'number') return false;
  if (db.one(`select 1 from response where project_id = ? and ${WAITING} limit 1`, projectId) !== undefined)
    return true;
  const running = db.one(
    `select count(*) as count from
       (select 1 from response where project_id = ? and status = 'in_progress' and deleted_at is null limit ?)`,
    projectId,
    max,
  );
  return Number(running?.['count']) >= max;
}

/** The place that a new row of this priority gets, counting at most `queueMax` entries. */
export function lastPosition(db: Database, projectId: string, priority: number, queueMax: number): number | 'full' {
  const before = countWaiting(db, 'priority >= ?', queueMax, projectId, priority);
  const behind = countWaiting(db, 'priority < ?', queueMax - before, projectId, priority);
  return before + behind >= queueMax ? 'full' : before + 1;
}

export function queuePosition(db: Database, no: number, most: number): number | undefined {
  const row = db.one(`select project_id, priority from response where no = ? and ${WAITING}`, no);
  if (row === undefined) return undefined;
  const [project, priority] = [String(row['project_id']), Number(row['priority'])];
  const more = countWaiting(db, 'priority > ?', most - 1, project, priority);
  return more + countWaiting(db, 'priority = ? and no < ?', most - 1 - more, project, priority, no) + 1;
}

function countWaiting(db: Database, which: string, most: number, project: string, ...values: number[]): number {
  const row = db.one(
    `select count(*) as count from (select 1 from response where project_id = ? and ${WAITING} and ${which} limit ?)`,
    project,
    ...values,
    most,
  );
  return Number(row?.['count']);
}
