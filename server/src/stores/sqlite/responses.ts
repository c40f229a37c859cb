import type { End, NewResponse, Store, StoredResponse } from '../../domain/ports.ts';
import type { ConversationPlace } from '../../domain/state-store.ts';
import { sealWith } from './bodies.ts';
import { insertChunk } from './chunks.ts';
import { addTurn } from './conversations.ts';
import type { Database } from './database.ts';
import { isHeld, newestItem } from './history.ts';
import { findByKey, insertKey } from './idempotency.ts';
import { indexItems } from './items.ts';
import { isDeletedProject } from './projects.ts';
import { lastPosition, mustWait } from './queue.ts';
import { reachedBound } from './unfinished.ts';
import { NO_TOKENS, addUsage } from './usage.ts';
import { RESPONSE_COLUMNS, VISIBLE, encodeHistory, encodeRequest, toResponse } from './rows.ts';

/** The response row: made once, found by project and id. */

export function create(db: Database, response: NewResponse, queueMax: number): Awaited<ReturnType<Store['create']>> {
  const { idempotency, projectId, priority = 0 } = response;
  if (isDeletedProject(db, projectId)) return { outcome: 'project_absent' };
  if (idempotency !== undefined && findByKey(db, projectId, idempotency.key, response.createdAt) !== undefined) {
    return { outcome: 'key_taken' };
  }
  const owned = response.workerId !== null;
  const bound = reachedBound(db, response.bounds ?? []);
  if (bound !== undefined) return { outcome: 'too_many_unfinished', bound };
  if (owned && mustWait(db, projectId)) return { outcome: 'must_wait' };
  const position = owned ? undefined : lastPosition(db, projectId, priority, queueMax);
  if (position === 'full') return { outcome: 'queue_full' };
  if (response.conversation !== null) {
    if (!exists(db, response.conversation)) return { outcome: 'conversation_absent' };
    if (hasMoved(db, response.conversation)) return { outcome: 'conversation_locked' };
  }
  const slot = response.zeroRetention === true ? db.bodies.take() : undefined;
  const request = encodeRequest(response.request);
  const history = encodeHistory(response.history);
  const no = db.insert(
    `insert into response (id, project_id, status, worker_id, attempt, model, provider, background, stream, request,
       created_at, started_at, expires_at, previous_response_id, conversation_no, conversation_up_to, history, zdr_slot,
       priority, key_id, model_entry, log_state)
     values (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
    response.id,
    projectId,
    owned ? 'in_progress' : 'queued',
    response.workerId,
    owned ? 1 : 0,
    response.model,
    response.provider,
    response.stream ? 1 : 0,
    slot === undefined ? request : sealWith(slot.key, 'request', request),
    response.createdAt,
    owned ? response.createdAt : null,
    response.expiresAt,
    response.previousResponseId,
    response.conversation?.no ?? null,
    response.conversation?.upTo ?? null,
    slot === undefined || history === null ? history : sealWith(slot.key, 'history', history),
    slot?.name ?? null,
    priority,
    response.keyId ?? null,
    response.modelEntry ?? response.model,
  );
  if (slot !== undefined) db.bodies.bind(no, slot);
  insertChunk(db, no, response.chunk);
  // Ids that clients choose are content.
  if (slot === undefined) indexItems(db, no, idsOf(response), 'input');
  if (idempotency !== undefined) insertKey(db, no, projectId, idempotency);
  return { outcome: 'created', no, ...(position !== undefined && { position }) };
}

function exists(db: Database, { no }: ConversationPlace): boolean {
  return db.one('select 1 from conversation where no = ?', no) !== undefined;
}

/** Somebody holds it, or something was added since it was read: an answer would not follow what is there now. */
function hasMoved(db: Database, { no, upTo }: ConversationPlace): boolean {
  return isHeld(db, no) || newestItem(db, no) !== upTo;
}

function idsOf({ request }: Pick<NewResponse, 'request'>): string[] {
  return request.inputItems.map(({ id }) => id);
}

export function createEnded(
  db: Database,
  response: Omit<NewResponse, 'chunk' | 'workerId' | 'history'>,
  end: Omit<End, 'logExpiresAt'>,
): void {
  if (isDeletedProject(db, response.projectId)) return;
  const no = db.insert(
    `insert into response (id, project_id, status, model, provider, background, stream, request, snapshot,
       created_at, started_at, done_at, expires_at, previous_response_id, conversation_no, conversation_up_to, log_state)
     values (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 3)`,
    response.id,
    response.projectId,
    end.status,
    response.model,
    response.provider,
    response.stream ? 1 : 0,
    encodeRequest(response.request),
    end.snapshot,
    response.createdAt,
    response.createdAt,
    end.doneAt,
    response.expiresAt,
    response.previousResponseId,
    response.conversation?.no ?? null,
    response.conversation?.upTo ?? null,
  );
  const { projectId, keyId = null, modelEntry = response.model } = response;
  addUsage(db, { projectId, keyId, modelEntry, at: end.doneAt, counts: end.usage ?? NO_TOKENS });
  indexItems(db, no, end.outputIds, 'output');
  indexItems(db, no, idsOf(response), 'input');
  if (response.conversation !== null) addTurn(db, response.conversation.no, end.turn);
}

export function find(db: Database, projectId: string, id: string, now: number): StoredResponse | undefined {
  const row = db.one(`select ${RESPONSE_COLUMNS} from response where ${VISIBLE}`, id, projectId, now);
  if (row === undefined) return undefined;
  const no = Number(row['no']);
  // Without its key it is gone, whatever became of its row.
  return db.bodies.isSealed(no) && !db.bodies.hasKey(no) ? undefined : toResponse(db, row);
}
