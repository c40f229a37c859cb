import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { ZdrKeys } from './zdr-keys.ts';
import type { Slot } from './zdr-keys.ts';

/**
 * What a response says is sealed at the edge of the database if it is under zero data retention, so that neither
 * workers nor readers know of it. A sealed body is nonce, tag, ciphertext (AES-256-GCM); which body it is of its
 * response is authenticated with it. Other responses are not in `#slots`, and that look is all that they pay.
 */

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = NONCE_BYTES + TAG_BYTES;
const UNREADABLE = new Uint8Array(0);

/** Which body of a response: `place` of a chunk is its n. */
export type Place = 'request' | 'history' | 'snapshot' | 'idempotency key' | 'body hash' | number;

/** Without a key when that is lost or destroyed. */
type KnownSlot = { name: string; key: Buffer | undefined };

export class Bodies {
  readonly #keys: ZdrKeys;
  /** By row number. */
  readonly #slots = new Map<number, KnownSlot>();
  /** Of the transaction under way. */
  #taken: { no: number; before: KnownSlot | undefined }[] = [];
  #destroyed: number[] = [];

  /** @param directory of the files of keys */
  constructor(directory: string) {
    this.#keys = new ZdrKeys(directory);
  }

  /**
   * Takes over what a former process has left. Returns the rows whose key is lost.
   * @param rows all that have a slot
   */
  load(rows: readonly { no: number; slot: string }[]): number[] {
    const keys = this.#keys.open(new Set(rows.map(({ slot }) => slot)));
    for (const { no, slot } of rows) this.#slots.set(no, { name: slot, key: keys.get(slot) });
    return rows.filter(({ slot }) => !keys.has(slot)).map(({ no }) => no);
  }

  take(): Slot {
    return this.#keys.take();
  }

  /** From now on `slot` seals the bodies of this row. */
  bind(no: number, slot: Slot): void {
    this.#taken.push({ no, before: this.#slots.get(no) });
    this.#slots.set(no, slot);
  }

  isSealed(no: number): boolean {
    return this.#slots.has(no);
  }

  hasKey(no: number): boolean {
    return this.#slots.get(no)?.key !== undefined;
  }

  /** The empty body of a fence stays empty. */
  seal(no: number, place: Place, body: Uint8Array): Uint8Array {
    const slot = this.#slots.get(no);
    if (slot === undefined || body.length === 0) return body;
    if (slot.key === undefined) throw new Error(`the key of response ${no} is lost`);
    return sealWith(slot.key, place, body);
  }

  /** As it was sealed; empty when that can't be known any more. */
  open(no: number, place: Place, body: Uint8Array): Uint8Array {
    const slot = this.#slots.get(no);
    if (slot === undefined || body.length === 0) return body;
    return slot.key === undefined ? UNREADABLE : openWith(slot.key, place, body);
  }

  /**
   * Destroys the keys of these rows, those that have one. Durable when it returns, before the transaction is: whoever
   * dies between leaves a row that nobody can read, and that is forgotten at the next start.
   */
  destroy(nos: readonly number[]): void {
    const sealed = nos.filter((no) => this.#slots.has(no));
    if (sealed.length === 0) return;
    this.#keys.destroy(sealed.flatMap((no) => this.#slots.get(no)?.name ?? []));
    for (const no of sealed) {
      const slot = this.#slots.get(no);
      slot?.key?.fill(0);
      if (slot !== undefined) this.#slots.set(no, { name: slot.name, key: undefined });
      this.#destroyed.push(no);
    }
  }

  /** The transaction is durable, or undone: then its row numbers will be others'. */
  settle(outcome: 'committed' | 'rolled back'): void {
    if (outcome === 'committed') for (const no of this.#destroyed) this.#slots.delete(no);
    else {
      for (const { no, before } of this.#taken.toReversed()) {
        if (before === undefined) this.#slots.delete(no);
        else this.#slots.set(no, before);
      }
    }
    this.#destroyed = [];
    this.#taken = [];
  }
}

/** For a row that has no number yet. */
export function sealWith(key: Buffer, place: Place, body: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(String(place)));
  const text = Buffer.concat([cipher.update(body), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]);
}

function openWith(key: Buffer, place: Place, body: Uint8Array): Uint8Array {
  if (body.length < HEAD_BYTES) return UNREADABLE;
  const decipher = createDecipheriv('aes-256-gcm', key, body.subarray(0, NONCE_BYTES));
  decipher.setAAD(Buffer.from(String(place)));
  decipher.setAuthTag(body.subarray(NONCE_BYTES, HEAD_BYTES));
  try {
    // A view of its own memory: a pooled buffer would be cloned as a whole on its way to the main thread.
    return new Uint8Array(Buffer.concat([decipher.update(body.subarray(HEAD_BYTES)), decipher.final()]));
  } catch {
    // Sealed by a key that is lost, the only way in which this fails; a response gets another one then.
    return UNREADABLE;
  }
}
