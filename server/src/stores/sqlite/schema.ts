import type { Database } from './database.ts';

/**
 * The tables (design.md §5) and how an older data directory gets them. A migration is never changed once released:
 * a new one is added. Times are ms since the epoch, bodies are bytes.
 *
 * `response.log_state`: 0 open, 1 ended and not compacted yet, 2 compacted, 3 no log (foreground, forgotten).
 */
const MIGRATIONS = [
  `
  create table response (
    no integer primary key autoincrement,  -- never used twice, so that a chunk can't change its owner
    id text not null unique,
    project_id text not null,
    status text not null,
    worker_id text,
    epoch integer not null default 0,
    attempt integer not null default 0,
    model text not null,
    provider text not null,
    background integer not null,
    stream integer not null,
    request blob not null,
    snapshot blob,
    created_at integer not null,
    started_at integer,
    done_at integer,
    expires_at integer not null,
    log_expires_at integer,
    log_state integer not null,
    cancel_requested_at integer,
    deleted_at integer
  ) strict;
  create index response_queued on response (no) where status = 'queued' and worker_id is null;
  create index response_unfinished on response (no) where status in ('queued', 'in_progress');
  create index response_expiring on response (expires_at) where deleted_at is null;
  create index response_log_expiring on response (log_expires_at) where log_state in (1, 2);
  create index response_uncompacted on response (no) where log_state = 1;
  create index response_deleted on response (deleted_at) where deleted_at is not null;

  create table chunk (
    response_no integer not null,
    n integer not null,
    first_sequence integer not null,
    count integer not null,
    epoch integer not null,
    closed integer not null,
    body blob not null
  ) strict;
  create unique index chunk_place on chunk (response_no, n);
  `,
  `
  alter table response add column previous_response_id text;
  alter table response add column conversation_no integer;
  alter table response add column conversation_up_to integer;  -- the newest item that was read, by its number
  alter table response add column history blob;                -- what was read before its input; null once it has ended
  -- The lock of a conversation: gone with the end of the response, whoever dies before it.
  create unique index response_holding on response (conversation_no)
    where conversation_no is not null and status in ('queued', 'in_progress');

  create table conversation (
    no integer primary key autoincrement,
    id text not null unique,
    project_id text not null,
    metadata blob not null,
    created_at integer not null
  ) strict;
  create table conversation_item (
    no integer primary key autoincrement,
    conversation_no integer not null,
    id text not null,
    item blob not null
  ) strict;
  create unique index conversation_item_id on conversation_item (id, conversation_no);
  create index conversation_item_place on conversation_item (conversation_no, no);

  create table response_item (
    id text not null,
    response_no integer not null,
    primary key (id, response_no)
  ) strict, without rowid;
  create index response_item_response on response_item (response_no);
  `,
  `
  create table webhook_endpoint (
    no integer primary key autoincrement,
    id text not null unique,
    project_id text not null,
    name text not null,
    url text not null,
    event_types text not null,             -- JSON
    secret text not null,
    old_secret text,
    old_secret_until integer,
    created_at integer not null,
    updated_at integer not null,
    failing_since integer,                 -- the first failure after the last success
    disabled_at integer,
    disabled_reason text
  ) strict;
  create index webhook_endpoint_enabled on webhook_endpoint (project_id) where disabled_at is null;
  create index webhook_endpoint_place on webhook_endpoint (project_id, no);

  create table webhook_delivery (
    no integer primary key autoincrement,
    id text not null,                      -- of the event, the same at every endpoint
    endpoint_no integer not null,
    response_no integer not null,
    type text not null,
    payload text not null,
    created_at integer not null,
    state text not null default 'pending', -- pending, delivered, failed
    queued_at integer not null,
    next_at integer not null,
    tries integer not null default 0,      -- since queued_at
    attempts text not null default '[]'    -- JSON, the last ones
  ) strict;
  create unique index webhook_delivery_event on webhook_delivery (endpoint_no, id);
  create index webhook_delivery_place on webhook_delivery (endpoint_no, no);
  create index webhook_delivery_pending on webhook_delivery (endpoint_no, next_at) where state = 'pending';
  create index webhook_delivery_response on webhook_delivery (response_no);
  `,
  // On which side of its response an item is. Responses of the first schema were not indexed: all are, anew.
  `
  alter table response_item add column output integer not null default 0;
  delete from response_item;
  insert or ignore into response_item (id, response_no, output)
    select json_extract(item.value, '$.id'), response.no, 1
      from response, json_each(cast(snapshot as text), '$.output') item
     where deleted_at is null and snapshot is not null and json_extract(item.value, '$.id') is not null;
  insert or ignore into response_item (id, response_no, output)
    select json_extract(item.value, '$.id'), response.no, 0
      from response, json_each(cast(request as text), '$.inputItems') item
     where deleted_at is null and length(request) > 0 and json_extract(item.value, '$.id') is not null;
  `,
  `
  alter table response add column zdr_slot text;  -- names the key of its bodies: file and place; null when they are plain
  create index response_zdr on response (no, zdr_slot) where zdr_slot is not null;
  `,
  // Projects, their keys, and what was done to them. A deleted project keeps its row: it takes no new work by that.
  `
  create table project (
    no integer primary key autoincrement,
    id text not null unique,
    name text not null,
    retention text,                        -- null: as the configuration says
    weight integer not null default 1,
    max_running integer,
    limits text not null default '{}',     -- JSON
    pass real not null default 0,          -- where its turns in the queue have come to
    created_at integer not null,
    updated_at integer not null,
    deleted_at integer,
    forgotten_at integer                   -- from when on there is nothing left of it but this row
  ) strict;
  insert into project (id, name, created_at, updated_at)
    values ('default', 'Default', unixepoch() * 1000, unixepoch() * 1000);
  create index project_leaving on project (no) where deleted_at is not null and forgotten_at is null;

  create table api_key (
    no integer primary key autoincrement,
    id text not null unique,
    project_id text not null,
    name text not null,
    hash blob not null unique,             -- sha256
    mask text not null,
    limits text not null default '{}',     -- JSON
    created_at integer not null,
    expires_at integer,
    last_used_at integer
  ) strict;
  create index api_key_place on api_key (project_id, no);

  create table audit (
    no integer primary key autoincrement,
    at integer not null,
    action text not null,
    target text not null,
    detail text not null                   -- JSON
  ) strict;

  alter table response add column priority integer not null default 0;
  create index response_place on response (project_id, status, no) where deleted_at is null;
  create index conversation_place on conversation (project_id, no);
  `,
  `
  create table idempotency (
    response_no integer primary key,
    project_id text not null,
    key blob not null,                     -- as the client sent it; sealed with the key of its response if that is
    body_hash blob not null,               -- SHA-256; sealed likewise
    expires_at integer not null
  ) strict;
  create unique index idempotency_key on idempotency (project_id, key);
  create index idempotency_expiring on idempotency (expires_at);
  `,
  // The queue, by project: what waits for a slot is found by its turn and by its age. With all that a count asks for in
  // the index, it reads no rows.
  `
  drop index response_queued;
  create index response_waiting
      on response (project_id, priority desc, no, created_at, status, worker_id, cancel_requested_at)
    where status = 'queued' and worker_id is null and cancel_requested_at is null;
  create index response_waiting_since on response (created_at)
    where status = 'queued' and worker_id is null and cancel_requested_at is null;
  create table queue (pass real not null) strict;  -- of the last turn
  insert into queue (pass) values (0);
  `,
  // Limits: who made a response, for how many of them are unfinished; and what was used by which key.
  `
  alter table response add column key_id text;
  alter table response add column model_entry text;  -- under which its usage counts; null: its model
  create index response_unfinished_key on response (key_id)
    where key_id is not null and status in ('queued', 'in_progress');
  create index response_unfinished_model on response (model_entry)
    where model_entry is not null and status in ('queued', 'in_progress');

  create table usage (
    project_id text not null,
    day text not null,                     -- UTC
    key_id text not null,                  -- '' when it was none of a project
    model_entry text not null,
    input_tokens integer not null default 0,
    cached_tokens integer not null default 0,  -- of input_tokens
    output_tokens integer not null default 0,
    requests integer not null default 0,
    primary key (project_id, day, key_id, model_entry)
  ) strict, without rowid;
  create index usage_key on usage (key_id, day);
  create index usage_model on usage (model_entry, day);
  `,
];

export const SCHEMA_VERSION = MIGRATIONS.length;

/** The directory was written by a newer Holt. */
export class NewerSchema extends Error {}

/** Throws NewerSchema. */
export function versionOf(db: Pick<Database, 'one'>): number {
  const version = Number(db.one('pragma user_version')?.['user_version'] ?? 0);
  if (version > SCHEMA_VERSION) {
    throw new NewerSchema(
      `the database has schema ${version}, this version of Holt knows ${SCHEMA_VERSION}: start the version that wrote it`,
    );
  }
  return version;
}

/** What makes an empty database one of schema `version`. */
export function migrationsUpTo(version: number): string {
  return MIGRATIONS.slice(0, version).join(';\n');
}

/**
 * Throws NewerSchema. Each step is a transaction with its number, so a start that was killed goes on where it was.
 * @param target less than all of them makes the directory of an older Holt, to be upgraded by a test
 */
export function migrate(db: Database, target = SCHEMA_VERSION): void {
  for (let next = versionOf(db); next < target; next += 1) {
    db.execute(`begin immediate; ${MIGRATIONS[next] ?? ''}; pragma user_version = ${next + 1}; commit`);
  }
}
