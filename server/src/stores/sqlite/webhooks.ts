import type { AuditEntry } from '../../domain/audit.ts';
import type { End } from '../../domain/ports.ts';
import type {
  Attempt,
  EndpointChange,
  EndpointQueue,
  NewEndpoint,
  NextStep,
  Page,
  PageQuery,
  StoredDelivery,
  StoredEndpoint,
} from '../../domain/webhook-store.ts';
import type { WebhookEvent, WebhookEventType } from '../../protocol/webhooks.ts';
import { recordAudit } from './audit.ts';
import type { Database, Row } from './database.ts';
import { isDeletedProject } from './projects.ts';
import { numberOrNull, pageOf, textOrNull } from './rows.ts';

/** Webhook endpoints, and the outbox: what is to be sent to them is written by the transaction that ends a response. */

/** More than any schedule makes; by hand there may be any number. */
const KEPT_ATTEMPTS = 50;

const NO_SUCCESS = 'no delivery has arrived for days';

const ENDPOINT_COLUMNS = `no, id, name, url, event_types, secret, old_secret, old_secret_until, created_at, updated_at,
  disabled_at, disabled_reason`;
const DELIVERY_COLUMNS = 'd.no, d.id, r.id as response_id, d.type, d.created_at, d.state, d.next_at, d.attempts';

// ---------------------------------------------------------------- endpoints

export function createEndpoint(db: Database, projectId: string, endpoint: NewEndpoint, audit?: AuditEntry): void {
  if (isDeletedProject(db, projectId)) return;
  db.run(
    `insert into webhook_endpoint (id, project_id, name, url, event_types, secret, created_at, updated_at)
     values (?, ?, ?, ?, ?, ?, ?, ?)`,
    endpoint.id,
    projectId,
    endpoint.name,
    endpoint.url,
    JSON.stringify(endpoint.eventTypes),
    endpoint.secret,
    endpoint.createdAt,
    endpoint.createdAt,
  );
  if (audit !== undefined) recordAudit(db, audit);
}

export function findEndpoint(db: Database, projectId: string, id: string): StoredEndpoint | undefined {
  const row = db.one(`select ${ENDPOINT_COLUMNS} from webhook_endpoint where id = ? and project_id = ?`, id, projectId);
  return row === undefined ? undefined : toEndpoint(row);
}

export function listEndpoints(db: Database, projectId: string, query: PageQuery): Page<StoredEndpoint> {
  const before = query.after === undefined ? Number.MAX_SAFE_INTEGER : endpointNo(db, projectId, query.after);
  if (before === undefined) return { outcome: 'no_cursor' };
  const rows = db.all(
    `select ${ENDPOINT_COLUMNS} from webhook_endpoint where project_id = ? and no < ? order by no desc limit ?`,
    projectId,
    before,
    query.limit + 1,
  );
  return pageOf(rows, query.limit, toEndpoint);
}

export function updateEndpoint(
  db: Database,
  projectId: string,
  id: string,
  change: EndpointChange,
  now: number,
  audit?: AuditEntry,
): StoredEndpoint | undefined {
  const before = findEndpoint(db, projectId, id);
  if (before === undefined) return undefined;
  const after = { ...before, ...change };
  const unchanged =
    before.disabledAt === null &&
    after.name === before.name &&
    after.url === before.url &&
    after.eventTypes.toSorted().join() === before.eventTypes.toSorted().join();
  if (unchanged) return before;
  db.run(
    `update webhook_endpoint set name = ?, url = ?, event_types = ?, updated_at = ?, disabled_at = null,
       disabled_reason = null, failing_since = null where id = ?`,
    after.name,
    after.url,
    JSON.stringify(after.eventTypes),
    now,
    id,
  );
  if (audit !== undefined) recordAudit(db, audit);
  return findEndpoint(db, projectId, id);
}

export function rotateSecret(
  db: Database,
  projectId: string,
  id: string,
  secret: string,
  oldSecretUntil: number | null,
  now: number,
  audit?: AuditEntry,
): StoredEndpoint | undefined {
  if (endpointNo(db, projectId, id) === undefined) return undefined;
  db.run(
    `update webhook_endpoint set secret = ?1, old_secret = iif(?2 is null, null, secret), old_secret_until = ?2,
       updated_at = ?3 where id = ?4 and project_id = ?5`,
    secret,
    oldSecretUntil,
    now,
    id,
    projectId,
  );
  if (audit !== undefined) recordAudit(db, audit);
  return findEndpoint(db, projectId, id);
}

export function deleteEndpoint(db: Database, projectId: string, id: string, audit?: AuditEntry): boolean {
  const no = endpointNo(db, projectId, id);
  if (no === undefined) return false;
  db.run('delete from webhook_delivery where endpoint_no = ?', no);
  db.run('delete from webhook_endpoint where no = ?', no);
  if (audit !== undefined) recordAudit(db, audit);
  return true;
}

// ---------------------------------------------------------------- deliveries

/** One row for each enabled endpoint of the project that wants to know. Costs one look at an index if there is none. */
export function enqueueDeliveries(db: Database, responseNo: number, end: End): void {
  if (end.eventId === null) return;
  const type: WebhookEventType = `response.${end.status}`;
  const endpoints = db.all(
    `select e.no, e.event_types, r.id as response_id from response r
       join webhook_endpoint e on e.project_id = r.project_id and e.disabled_at is null where r.no = ?`,
    responseNo,
  );
  for (const row of endpoints) {
    if (!eventTypesOf(row).includes(type)) continue;
    const event: WebhookEvent = {
      id: end.eventId,
      object: 'event',
      type,
      created_at: Math.floor(end.doneAt / 1000),
      data: { id: String(row['response_id']) },
    };
    db.run(
      `insert into webhook_delivery (id, endpoint_no, response_no, type, payload, created_at, queued_at, next_at)
       values (?, ?, ?, ?, ?, ?, ?, ?)`,
      event.id,
      Number(row['no']),
      responseNo,
      type,
      JSON.stringify(event),
      end.doneAt,
      end.doneAt,
      end.doneAt,
    );
  }
}

/** A response that is forgotten is not told of any more, not even in a history. */
export function forgetDeliveries(db: Database, responseNo: number): void {
  db.run('delete from webhook_delivery where response_no = ?', responseNo);
}

export function listDeliveries(
  db: Database,
  projectId: string,
  endpointId: string,
  query: PageQuery,
): Page<StoredDelivery> {
  const endpoint = endpointNo(db, projectId, endpointId);
  if (endpoint === undefined) return { outcome: 'absent' };
  const before = query.after === undefined ? Number.MAX_SAFE_INTEGER : deliveryNo(db, endpoint, query.after);
  if (before === undefined) return { outcome: 'no_cursor' };
  const rows = db.all(
    `select ${DELIVERY_COLUMNS} from webhook_delivery d join response r on r.no = d.response_no
      where d.endpoint_no = ? and d.no < ? order by d.no desc limit ?`,
    endpoint,
    before,
    query.limit + 1,
  );
  return pageOf(rows, query.limit, toDelivery);
}

export function redeliver(
  db: Database,
  projectId: string,
  endpointId: string,
  id: string,
  now: number,
  audit?: AuditEntry,
): StoredDelivery | 'absent' | 'disabled' {
  const endpoint = findEndpoint(db, projectId, endpointId);
  const endpointPlace = endpointNo(db, projectId, endpointId);
  const no = endpointPlace === undefined ? undefined : deliveryNo(db, endpointPlace, id);
  if (endpoint === undefined || no === undefined) return 'absent';
  if (endpoint.disabledAt !== null) return 'disabled';
  db.run(
    "update webhook_delivery set state = 'pending', queued_at = ?, next_at = ?, tries = 0 where no = ?",
    now,
    now,
    no,
  );
  if (audit !== undefined) recordAudit(db, audit);
  const row = db.one(
    `select ${DELIVERY_COLUMNS} from webhook_delivery d join response r on r.no = d.response_no where d.no = ?`,
    no,
  );
  return row === undefined ? 'absent' : toDelivery(row);
}

export function listPending(db: Database, perEndpoint: number): EndpointQueue[] {
  const endpoints = db.all(
    'select no, id, url, secret, old_secret, old_secret_until, failing_since from webhook_endpoint where disabled_at is null',
  );
  return endpoints.map((row) => ({
    no: Number(row['no']),
    target: {
      id: String(row['id']),
      url: String(row['url']),
      secret: String(row['secret']),
      oldSecret: textOrNull(row['old_secret']),
      oldSecretUntil: numberOrNull(row['old_secret_until']),
    },
    failing: row['failing_since'] !== null,
    pending: db
      .all(
        `select no, id, payload, queued_at, tries, next_at from webhook_delivery
          where endpoint_no = ? and state = 'pending' order by next_at limit ?`,
        Number(row['no']),
        perEndpoint,
      )
      .map((delivery) => ({
        no: Number(delivery['no']),
        id: String(delivery['id']),
        payload: String(delivery['payload']),
        queuedAt: Number(delivery['queued_at']),
        tries: Number(delivery['tries']),
        nextAt: Number(delivery['next_at']),
      })),
  }));
}

export function recordAttempt(
  db: Database,
  no: number,
  attempt: Attempt,
  next: NextStep,
  failingSince: number,
): 'recorded' | 'disabled' | 'absent' {
  const row = db.one('select endpoint_no, attempts, next_at from webhook_delivery where no = ?', no);
  if (row === undefined) return 'absent';
  db.run(
    'update webhook_delivery set state = ?, next_at = ?, tries = tries + 1, attempts = ? where no = ?',
    next.state,
    next.state === 'pending' ? next.nextAt : Number(row['next_at']),
    JSON.stringify([...attemptsOf(row), attempt].slice(-KEPT_ATTEMPTS)),
    no,
  );
  const endpoint = Number(row['endpoint_no']);
  if (next.state === 'delivered') {
    db.run('update webhook_endpoint set failing_since = null where no = ? and failing_since is not null', endpoint);
    return 'recorded';
  }
  db.run('update webhook_endpoint set failing_since = coalesce(failing_since, ?) where no = ?', attempt.at, endpoint);
  const disabled = db.run(
    `update webhook_endpoint set disabled_at = ?, disabled_reason = ?
      where no = ? and failing_since <= ? and disabled_at is null`,
    attempt.at,
    NO_SUCCESS,
    endpoint,
    failingSince,
  );
  db.run(
    `update webhook_delivery set state = 'failed' where endpoint_no = ?1 and state = 'pending'
      and exists (select 1 from webhook_endpoint where no = ?1 and disabled_at is not null)`,
    endpoint,
  );
  return disabled === 0 ? 'recorded' : 'disabled';
}

// ---------------------------------------------------------------- rows

function endpointNo(db: Database, projectId: string, id: string): number | undefined {
  const row = db.one('select no from webhook_endpoint where id = ? and project_id = ?', id, projectId);
  return row === undefined ? undefined : Number(row['no']);
}

function deliveryNo(db: Database, endpoint: number, id: string): number | undefined {
  const row = db.one('select no from webhook_delivery where endpoint_no = ? and id = ?', endpoint, id);
  return row === undefined ? undefined : Number(row['no']);
}

function toEndpoint(row: Row): StoredEndpoint {
  return {
    id: String(row['id']),
    name: String(row['name']),
    url: String(row['url']),
    eventTypes: eventTypesOf(row),
    secret: String(row['secret']),
    oldSecret: textOrNull(row['old_secret']),
    oldSecretUntil: numberOrNull(row['old_secret_until']),
    createdAt: Number(row['created_at']),
    updatedAt: Number(row['updated_at']),
    disabledAt: numberOrNull(row['disabled_at']),
    disabledReason: textOrNull(row['disabled_reason']),
  };
}

function toDelivery(row: Row): StoredDelivery {
  return {
    id: String(row['id']),
    responseId: String(row['response_id']),
    type: String(row['type']) as WebhookEventType, // only written from that type
    createdAt: Number(row['created_at']),
    state: String(row['state']) as StoredDelivery['state'], // only written from that type
    nextAt: Number(row['next_at']),
    attempts: attemptsOf(row),
  };
}

function eventTypesOf(row: Row): WebhookEventType[] {
  return JSON.parse(String(row['event_types'])) as WebhookEventType[]; // written from that type
}

function attemptsOf(row: Row): Attempt[] {
  return JSON.parse(String(row['attempts'])) as Attempt[]; // written from that type
}
