import type { FoundItems, Item } from '../../domain/state-store.ts';
import type { Database } from './database.ts';
import { VISIBLE_IN_RESPONSE, decodeOutput, decodeRequest } from './rows.ts';

/** Items by their ids: `response_item` says in which response an item is, conversations hold theirs themselves. */

/** In one statement, however many. An id that was used before in the response keeps its first place. */
export function indexItems(db: Database, responseNo: number, ids: readonly string[], side: 'input' | 'output'): void {
  if (ids.length === 0) return;
  db.run(
    `insert into response_item (id, response_no, output) select value, ?, ? from json_each(?) where true
      on conflict do nothing`,
    responseNo,
    side === 'output' ? 1 : 0,
    JSON.stringify(ids),
  );
}

export function findItems(
  db: Database,
  projectId: string,
  ids: readonly string[],
  now: number,
  maxBytes: number,
): FoundItems {
  const reader = new Reader(db, projectId, now, maxBytes);
  const items: (Item | undefined)[] = [];
  for (const id of ids) {
    items.push(reader.inResponses(id) ?? reader.inConversations(id));
    if (reader.left < 0) return { outcome: 'too_large' };
  }
  return { outcome: 'read', items };
}

/** Bytes as stored. */
type Sizes = { input: number; output: number };

/** How many places of an id are looked up at once; nearly always the first is it. */
const PLACES = 100;

class Reader {
  /** Bytes. Below zero, nothing was read any more. */
  left: number;
  readonly #db: Database;
  readonly #projectId: string;
  readonly #now: number;
  /** Several references into one response look at it once, and decode it once. */
  readonly #sizes = new Map<number, Sizes | undefined>();
  readonly #decoded = new Map<string, Item[]>();

  constructor(db: Database, projectId: string, now: number, maxBytes: number) {
    this.#db = db;
    this.#projectId = projectId;
    this.#now = now;
    this.left = maxBytes;
  }

  /**
   * Clients send items again that they got: so where an item came out comes before where it went in, whose inputs grow
   * with every turn.
   */
  inResponses(id: string): Item | undefined {
    let before: [output: number, no: number] = [1, Number.MAX_SAFE_INTEGER];
    for (;;) {
      // Without the response's row, whose columns lie behind its bodies: an id may be in very many responses.
      const places = this.#db.all(
        `select output, response_no from response_item where id = ? and (output, response_no) < (?, ?)
          order by output desc, response_no desc limit ?`,
        id,
        ...before,
        PLACES,
      );
      for (const place of places) {
        before = [Number(place['output']), Number(place['response_no'])];
        const [output, no] = before;
        const sizes = this.#sizesOf(no);
        if (sizes === undefined) continue;
        const items = this.#side(no, output === 1, output === 1 ? sizes.output : sizes.input);
        return items.find((item) => item.id === id);
      }
      if (places.length < PLACES) return undefined;
    }
  }

  /** Undefined when the response is not there for this project. */
  #sizesOf(no: number): Sizes | undefined {
    if (this.#sizes.has(no)) return this.#sizes.get(no);
    const row = this.#db.one(
      `select length(request) as input, length(snapshot) as output from response
        where no = ? and project_id = ? and ${VISIBLE_IN_RESPONSE}`,
      no,
      this.#projectId,
      this.#now,
    );
    const sizes = row === undefined ? undefined : { input: Number(row['input']), output: Number(row['output']) };
    this.#sizes.set(no, sizes);
    return sizes;
  }

  inConversations(id: string): Item | undefined {
    const row = this.#db.one(
      `select conversation_item.no, length(item) as size
         from conversation_item join conversation on conversation.no = conversation_no
        where conversation_item.id = ? and project_id = ? order by conversation_item.no desc limit 1`,
      id,
      this.#projectId,
    );
    if (row === undefined || !this.#take(Number(row['size']))) return undefined;
    return itemAt(this.#db, Number(row['no']));
  }

  #side(no: number, output: boolean, size: number): Item[] {
    const key = `${no} ${output}`;
    const known = this.#decoded.get(key);
    if (known !== undefined) return known;
    if (!this.#take(size)) return [];
    const items = output ? outputOf(this.#db, no) : inputOf(this.#db, no);
    this.#decoded.set(key, items);
    return items;
  }

  #take(size: number): boolean {
    this.left -= size;
    return this.left >= 0;
  }
}

/** The items of a request itself. */
export function inputOf(db: Database, responseNo: number): Item[] {
  const row = db.one('select request from response where no = ?', responseNo);
  return decodeRequest(db, responseNo, row?.['request'])?.inputItems ?? [];
}

export function outputOf(db: Database, responseNo: number): Item[] {
  return decodeOutput(db, responseNo, db.one('select snapshot from response where no = ?', responseNo)?.['snapshot']);
}

/** @param no the number of an item of a conversation */
export function itemAt(db: Database, no: number): Item {
  return decodeItem(db.one('select item from conversation_item where no = ?', no)?.['item']);
}

export function encodeItem(item: Item): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(item));
}

export function decodeItem(bytes: unknown): Item {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('an item is not a blob');
  return JSON.parse(new TextDecoder().decode(bytes)) as Item; // written by encodeItem
}
