import type { Row } from './database.ts';
import type { Finding } from './finding.ts';
import { decodeItem } from './items.ts';
import type { ReadOnlyDatabase } from './read-only.ts';

/** Conversations, webhooks, idempotency keys, and rows whose owner is not there. */

/** What belongs to a response, a conversation or an endpoint, with the first schema that has it. */
const BELONGINGS = [
  { since: 1, rows: 'chunks', of: 'response', query: strays('chunk', 'response_no', 'response') },
  {
    since: 2,
    rows: 'ids of items',
    of: 'response',
    query: strays('response_item', 'response_no', 'response', 'deleted_at is null'),
  },
  {
    since: 2,
    rows: 'items',
    of: 'conversation',
    query: strays('conversation_item', 'conversation_no', 'conversation'),
  },
  {
    since: 3,
    rows: 'deliveries',
    of: 'webhook endpoint',
    query: strays('webhook_delivery', 'endpoint_no', 'webhook_endpoint'),
  },
  {
    since: 3,
    rows: 'deliveries',
    of: 'response',
    query: strays('webhook_delivery', 'response_no', 'response', 'deleted_at is null'),
  },
  {
    since: 7,
    rows: 'idempotency keys',
    of: 'response',
    query: strays('idempotency', 'response_no', 'response', 'deleted_at is null'),
  },
] as const;

function strays(table: string, column: string, owner: string, alive = 'true'): string {
  return `select count(*) as count from ${table}
    where not exists (select 1 from ${owner} where ${owner}.no = ${table}.${column} and ${alive})`;
}

export function* inspectStrays(db: ReadOnlyDatabase, schema: number): Generator<Finding> {
  for (const { since, rows, of, query } of BELONGINGS) {
    if (schema < since) continue;
    const count = Number(db.one(query)?.['count']);
    if (count > 0) yield { problem: `${count} ${rows} belong to no ${of} that is there` };
  }
}

export function* inspectConversations(db: ReadOnlyDatabase, schema: number): Generator<Finding> {
  if (schema < 2) return;
  for (const row of db.each('select id, metadata from conversation')) {
    if (!isObject(parseBlob(row['metadata'])))
      yield { id: String(row['id']), problem: "its metadata can't be read", deletable: true };
  }
  const items = db.each(
    `select conversation.id as conversation, conversation_item.id, item
       from conversation_item join conversation on conversation.no = conversation_no`,
  );
  for (const row of items) {
    const item = parseItem(row);
    if (item?.id !== row['id'])
      yield { id: String(row['conversation']), problem: "an item of it can't be read", deletable: true };
  }
}

const STATES: readonly unknown[] = ['pending', 'delivered', 'failed'];

export function* inspectWebhooks(db: ReadOnlyDatabase, schema: number): Generator<Finding> {
  if (schema < 3) return;
  for (const row of db.each('select id, event_types from webhook_endpoint')) {
    if (!Array.isArray(parseText(row['event_types'])))
      yield { id: String(row['id']), problem: "its types can't be read", deletable: true };
  }
  for (const row of db.each('select id, state, payload, attempts from webhook_delivery')) {
    const readable = isObject(parseText(row['payload'])) && Array.isArray(parseText(row['attempts']));
    if (!readable || !STATES.includes(row['state']))
      yield { id: String(row['id']), problem: "the delivery can't be read" };
  }
}

export function* inspectProjects(db: ReadOnlyDatabase, schema: number): Generator<Finding> {
  if (schema < 6) return;
  for (const row of db.each('select id, limits from project union all select id, limits from api_key')) {
    if (!isObject(parseText(row['limits']))) yield { id: String(row['id']), problem: "its limits can't be read" };
  }
  for (const row of db.each('select no, detail from audit')) {
    if (!isObject(parseText(row['detail']))) {
      yield { id: `audit_${String(row['no'])}`, problem: "the entry of the audit log can't be read" };
    }
  }
  const keys = Number(
    db.one(`select count(*) as count from api_key
      where not exists (select 1 from project where project.id = project_id and deleted_at is null)`)?.['count'],
  );
  const stuck = Number(
    db.one(`select count(*) as count from response
      where status in ('queued', 'in_progress') and not exists (select 1 from project where project.id = project_id)`)?.[
      'count'
    ],
  );
  if (stuck > 0) yield { problem: `${stuck} unfinished responses belong to no project, and will not run` };
  if (keys > 0) yield { problem: `${keys} API keys belong to no project that is there` };
}

/** Those of sealed responses are sealed, too, and not looked into. */
const KEYS = `select id, response.project_id as its, idempotency.project_id as said, length(key) as key,
    length(body_hash) as hash, zdr_slot is not null as sealed
  from idempotency join response on no = response_no where deleted_at is null`;
const KEY_CHARACTERS = 255;
const HASH_BYTES = 32;

export function* inspectKeys(db: ReadOnlyDatabase, schema: number): Generator<Finding> {
  if (schema < 7) return;
  for (const { id, its, said, key, hash, sealed } of db.each(KEYS)) {
    if (its !== said) yield { id: String(id), problem: 'its idempotency key is of another project' };
    const readable = Number(key) > 0 && Number(key) <= KEY_CHARACTERS && hash === HASH_BYTES;
    if (sealed === 0 && !readable) yield { id: String(id), problem: "its idempotency key can't be read" };
  }
}

function parseItem(row: Row): { id: string } | undefined {
  try {
    return decodeItem(row['item']);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return undefined;
    throw error;
  }
}

function parseBlob(bytes: unknown): unknown {
  return bytes instanceof Uint8Array ? parseText(new TextDecoder().decode(bytes)) : undefined;
}

/** Undefined for what is no JSON. */
function parseText(text: unknown): unknown {
  try {
    return JSON.parse(String(text));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
