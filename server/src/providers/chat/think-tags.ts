export type ThinkPiece = { type: 'text' | 'reasoning'; delta: string };

const OPEN = '<think>';
const CLOSE = '</think>';
/** White space that waits for the tag; what has more before it is text. */
const MOST_SPACE = 1_024;

/**
 * Splits `<think>…</think>answer` while it streams in, wherever the pieces are cut. Only a tag that begins the content
 * counts: later ones are text that a model writes about.
 */
export class ThinkTags {
  #state: 'start' | 'reasoning' | 'gap' | 'text';
  #held = '';

  /** @param opened the chat template has opened the tag already, so that the content begins inside it */
  constructor(opened: boolean) {
    this.#state = opened ? 'reasoning' : 'start';
  }

  push(content: string): ThinkPiece[] {
    if (this.#state === 'text') return [{ type: 'text', delta: content }];
    this.#held += content;
    const pieces: ThinkPiece[] = [];
    let before: string;
    do {
      before = this.#state;
      this.#step(pieces);
    } while (before !== this.#state);
    return pieces;
  }

  /** What was held back as the possible beginning of a tag. */
  flush(): ThinkPiece[] {
    const held = this.#held;
    this.#held = '';
    if (held === '' || this.#state === 'gap') return [];
    return [{ type: this.#state === 'reasoning' ? 'reasoning' : 'text', delta: held }];
  }

  #step(pieces: ThinkPiece[]): void {
    switch (this.#state) {
      case 'start':
        this.#openTag();
        return;
      case 'reasoning':
        this.#reasoning(pieces);
        return;
      case 'gap':
        // The blank lines between the closing tag and the answer belong to neither.
        this.#held = this.#held.trimStart();
        if (this.#held !== '') this.#state = 'text';
        return;
      case 'text':
        if (this.#held !== '') pieces.push({ type: 'text', delta: this.#held });
        this.#held = '';
        return;
    }
  }

  #openTag(): void {
    const begun = this.#held.trimStart();
    if (begun.startsWith(OPEN)) {
      this.#held = begun.slice(OPEN.length);
      this.#state = 'reasoning';
    } else if (this.#held.length > MOST_SPACE || !OPEN.startsWith(begun)) {
      this.#state = 'text';
    }
  }

  #reasoning(pieces: ThinkPiece[]): void {
    const end = this.#held.indexOf(CLOSE);
    const cut = end === -1 ? this.#held.length - tagPrefix(this.#held) : end;
    if (cut > 0) pieces.push({ type: 'reasoning', delta: this.#held.slice(0, cut) });
    this.#held = this.#held.slice(end === -1 ? cut : end + CLOSE.length);
    if (end !== -1) this.#state = 'gap';
  }
}

/** How many characters at the end of `text` may be the beginning of a closing tag. */
function tagPrefix(text: string): number {
  for (let length = Math.min(text.length, CLOSE.length - 1); length > 0; length -= 1) {
    if (CLOSE.startsWith(text.slice(-length))) return length;
  }
  return 0;
}
