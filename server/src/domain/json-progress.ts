/**
 * Tells, while a JSON text comes in piece by piece, whether it is whole. Looks at each character once and parses once:
 * a text of megabytes is not parsed again for every piece, or for every other call beside it.
 */

/** A number or a word can always go on; what is longer is not waited for. */
const SCALAR_CHARACTERS = 64;

export class JsonProgress {
  #state: 'before' | 'open' | 'string' | 'escape' | 'scalar' | 'ended' | 'broken' = 'before';
  #depth = 0;
  #scalar = '';
  #parses: boolean | undefined;
  #object = false;

  /** The text is an object, or will be one. */
  get isObject(): boolean {
    return this.#object;
  }

  /** False: it is not whole. True: look. */
  get mayBeWhole(): boolean {
    return this.#state === 'ended' || this.#state === 'scalar';
  }

  feed(piece: string): void {
    for (let at = 0; at < piece.length && this.#state !== 'broken'; at += 1) this.#step(piece.charAt(at));
  }

  /** @param text makes one text of all the pieces, which is asked for once at most */
  isWhole(text: () => string): boolean {
    if (this.#state === 'scalar') return isJson(this.#scalar);
    if (this.#state !== 'ended') return false;
    this.#parses ??= isJson(text());
    return this.#parses;
  }

  #step(char: string): void {
    switch (this.#state) {
      case 'string':
        if (char === '\\') this.#state = 'escape';
        else if (char === '"') this.#state = this.#depth === 0 ? 'ended' : 'open';
        return;
      case 'escape':
        this.#state = 'string';
        return;
      case 'scalar':
        this.#scalar += char;
        if (this.#scalar.length > SCALAR_CHARACTERS) this.#state = 'broken';
        return;
      case 'ended':
        // Whatever else follows, no more of it makes the whole valid again.
        if (!isSpace(char)) this.#state = 'broken';
        return;
      case 'before':
      case 'open':
        this.#structure(char);
        return;
      case 'broken':
        return;
    }
  }

  #structure(char: string): void {
    if (char === '{' || char === '[') {
      if (this.#depth === 0) this.#object = char === '{';
      this.#depth += 1;
      this.#state = 'open';
    } else if (char === '}' || char === ']') {
      this.#depth -= 1;
      if (this.#depth <= 0) this.#state = this.#depth === 0 ? 'ended' : 'broken';
    } else if (char === '"') {
      this.#state = 'string';
    } else if (this.#state === 'before' && !isSpace(char)) {
      this.#scalar = char;
      this.#state = 'scalar';
    }
  }
}

function isSpace(char: string): boolean {
  return char === ' ' || char === '\n' || char === '\r' || char === '\t';
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
