import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import type { Seal, Sealed } from './domain/seal.ts';
import { ownSecret } from './own-secret.ts';

/**
 * AES-256-GCM, as base64url of: version, first bytes of the key's hash, nonce, tag, ciphertext. Kind and project are
 * authenticated with it, so that one can't be taken for another.
 */

const VERSION = 1;
const KEY_ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES;

type Key = { id: Buffer; bytes: Buffer };

/** @param secrets the first one seals, all of them open: a new one is put before the old one */
export function makeSeal(secrets: readonly [string, ...string[]]): Seal {
  const [first, ...others] = secrets;
  const newest = deriveKey(first);
  const keys = [newest, ...others.map(deriveKey)];
  return {
    seal: (kind, projectId, value) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', newest.bytes, nonce);
      cipher.setAAD(contextOf(kind, projectId));
      const text = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()]);
      return Buffer.concat([Buffer.from([VERSION]), newest.id, nonce, cipher.getAuthTag(), text]).toString('base64url');
    },
    open: <K extends keyof Sealed>(kind: K, projectId: string, text: string): Sealed[K] | undefined => {
      const bytes = Buffer.from(text, 'base64url');
      if (bytes.length <= HEAD_BYTES || bytes[0] !== VERSION) return undefined;
      const id = bytes.subarray(1, 1 + KEY_ID_BYTES);
      for (const key of keys) {
        if (!key.id.equals(id)) continue;
        const plain = decrypt(key, bytes, contextOf(kind, projectId));
        if (plain !== undefined) return JSON.parse(plain) as Sealed[K]; // authentic, so written by `seal`
      }
      return undefined;
    },
  };
}

/** The secret of a data directory that was given none: sealing with one that was cut short would be sealing with none. */
export function secretOf(data: string): Promise<string> {
  return ownSecret(data, 'secret', 'lose what was sealed with it');
}

function decrypt(key: Key, bytes: Buffer, context: Buffer): string | undefined {
  const nonceAt = 1 + KEY_ID_BYTES;
  const tagAt = nonceAt + NONCE_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key.bytes, bytes.subarray(nonceAt, tagAt));
  decipher.setAAD(context);
  decipher.setAuthTag(bytes.subarray(tagAt, HEAD_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES)), decipher.final()]).toString('utf8');
  } catch {
    // The one way in which this fails is that it is not authentic.
    return undefined;
  }
}

function deriveKey(secret: string): Key {
  const bytes = Buffer.from(hkdfSync('sha256', secret, '', 'holt sealed content', 32));
  return { bytes, id: createHash('sha256').update(bytes).digest().subarray(0, KEY_ID_BYTES) };
}

function contextOf(kind: keyof Sealed, projectId: string): Buffer {
  return Buffer.from(`${kind}\n${projectId}`);
}
