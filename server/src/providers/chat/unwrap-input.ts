import { asObject, parseJson } from './json.ts';

/** `{"input":"` as models write it, and as much of it as may be there yet. */
const OPENING = /^\s*\{\s*"input"\s*:\s*"/;
const OPENING_SO_FAR = /^\s*(\{\s*("(i(n(p(u(t("(\s*(:\s*)?)?)?)?)?)?)?)?)?)?$/;

/** White space that waits for the opening; more of it is not looked through again for each piece. */
const MOST_OPENING = 1_024;

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

/**
 * The arguments of a function that stands for a custom tool -> its input, while they come in. Wherever the pieces are
 * cut, the text is the same. An object of another shape is known only when it is whole; what is no object is the input
 * itself, since that is what the model meant.
 */
export class InputUnwrapper {
  #state: 'opening' | 'input' | 'after' | 'object' | 'raw' = 'opening';
  /** What can't be told yet: the start, an object of another shape, half an escape or half a surrogate pair. */
  #held = '';

  /** The input that this piece adds, maybe none. */
  push(piece: string): string {
    if (this.#state === 'raw') return piece;
    if (this.#state === 'after') return '';
    this.#held += piece;
    if (this.#state === 'opening') this.#open();
    if (this.#state === 'input') return this.#read();
    return this.#state === 'object' || this.#state === 'opening' ? '' : this.#take();
  }

  /** The rest, when nothing more comes. */
  end(): string {
    const rest = this.#take();
    if (this.#state === 'input') return rest.replace(/\\(u[0-9a-fA-F]{0,3})?$/, '');
    if (this.#state !== 'object') return rest;
    const input = asObject(parseJson(rest))?.['input'];
    return typeof input === 'string' ? input : rest;
  }

  #open(): void {
    const [opening] = OPENING.exec(this.#held) ?? [];
    if (opening !== undefined) {
      this.#held = this.#held.slice(opening.length);
      this.#state = 'input';
    } else if (this.#held.length > MOST_OPENING || !OPENING_SO_FAR.test(this.#held)) {
      this.#state = /^\s*\{/.test(this.#held) ? 'object' : 'raw';
    }
  }

  /** Decodes up to the closing quote, or to what isn't whole yet. */
  #read(): string {
    let text = '';
    let at = 0;
    while (at < this.#held.length) {
      const char = this.#held.charAt(at);
      if (char === '"') {
        this.#state = 'after';
        this.#held = '';
        return text;
      }
      const [decoded, length] = char === '\\' ? decodeEscape(this.#held.slice(at, at + 6)) : [char, 1];
      if (decoded === undefined) break;
      text += decoded;
      at += length;
    }
    this.#held = this.#held.slice(at);
    return this.#keepHalfPair(text);
  }

  /** Half a surrogate pair waits for the other half, written again as an escape or not. */
  #keepHalfPair(text: string): string {
    const last = text.charCodeAt(text.length - 1);
    if (!(last >= 0xd800 && last <= 0xdbff)) return text;
    this.#held = text.slice(-1) + this.#held;
    return text.slice(0, -1);
  }

  #take(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }
}

/** The character and the length of its escape; without a character when the escape isn't whole. */
function decodeEscape(escape: string): [decoded: string | undefined, length: number] {
  const kind = escape.charAt(1);
  if (kind === '') return [undefined, 0];
  if (kind === 'u') {
    const hex = /^\\u([0-9a-fA-F]{4})/.exec(escape)?.[1];
    if (hex !== undefined) return [String.fromCharCode(Number.parseInt(hex, 16)), 6];
    return /^\\u[0-9a-fA-F]{0,3}$/.test(escape) ? [undefined, 0] : ['\\', 1];
  }
  if (kind === '"' || kind === '\\' || kind === '/') return [kind, 2];
  // Models write regular expressions with escapes that JSON doesn't have: they mean the backslash.
  const known = ESCAPES[kind];
  return known === undefined ? ['\\', 1] : [known, 2];
}
