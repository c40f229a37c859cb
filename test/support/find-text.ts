import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Looks for pieces of texts where none of them may be: every 12-byte window of each text, as UTF-8, as UTF-16 of either
 * byte order, and in base64 at each of its three alignments.
 */

const WINDOW = 12;

export type Found = { where: string; text: string; encoding: string; piece: string };

export class TextFinder {
  readonly #windows = new Map<string, Omit<Found, 'where'>>();
  /** Which first three bytes any window has: most places are out after one look. */
  readonly #heads = new Uint8Array(1 << 24);

  /** @param texts by what they are, such as `prompt`; each at least one window long */
  constructor(texts: Readonly<Record<string, string>>) {
    for (const [name, text] of Object.entries(texts)) {
      if (Buffer.byteLength(text) < WINDOW) throw new Error(`${name} is too short to be looked for`);
      for (const [encoding, bytes] of encodings(text)) this.#add(name, encoding, bytes);
    }
  }

  /** At most one piece of each text and encoding. */
  inBytes(bytes: Buffer, where: string): Found[] {
    const found = new Map<string, Found>();
    for (let at = 0; at + WINDOW <= bytes.length; at += 1) {
      if (this.#heads[headAt(bytes, at)] === 0) continue;
      const known = this.#windows.get(bytes.toString('latin1', at, at + WINDOW));
      if (known !== undefined) found.set(`${known.text} ${known.encoding}`, { where, ...known });
    }
    return [...found.values()];
  }

  /** In every file below the directory, whatever it is. */
  inDirectory(directory: string): Found[] {
    return readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .flatMap((file) => this.inBytes(readIfThere(file), file));
  }

  #add(text: string, encoding: string, bytes: Buffer): void {
    for (let at = 0; at + WINDOW <= bytes.length; at += 1) {
      const piece = bytes.toString('latin1', at, at + WINDOW);
      this.#windows.set(piece, { text, encoding, piece });
      this.#heads[headAt(bytes, at)] = 1;
    }
  }
}

/** A server may remove a file between the listing and the reading: then nothing is left in it. */
function readIfThere(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

function headAt(bytes: Buffer, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}

function encodings(text: string): [string, Buffer][] {
  const little = Buffer.from(text, 'utf16le');
  const big = Buffer.from(little).swap16();
  const base64 = [0, 1, 2].flatMap((shift): [string, Buffer][] => {
    const encoded = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)]).toString('base64');
    // The first characters hold bits of what came before, the last ones of what comes after.
    const inner = encoded.slice(shift === 0 ? 0 : 4, encoded.replace(/=+$/, '').length - 3);
    const url = inner.replaceAll('+', '-').replaceAll('/', '_');
    return [
      ['base64', Buffer.from(inner)],
      ['base64url', Buffer.from(url)],
    ];
  });
  return [['utf-8', Buffer.from(text)], ['utf-16le', little], ['utf-16be', big], ...base64];
}
