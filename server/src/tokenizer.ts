import type { Tokenizer } from './domain/ports.ts';

/**
 * Counts tokens as OpenAI's models do where the model's name says that it is one of them, and estimates otherwise: a
 * token for every four bytes of UTF-8, which is near for English and for code and no more than a hint for the rest.
 */

type Count = (text: string) => number;

/** By the last part of the name: `openai/gpt-4o-mini` of a router is `gpt-4o-mini`. */
const ENCODINGS: [pattern: RegExp, load: () => Promise<{ countTokens: Count }>][] = [
  [/^(gpt-4o|gpt-4\.\d|gpt-5|gpt-oss|chatgpt|codex|o\d)/, () => import('gpt-tokenizer/encoding/o200k_base')],
  [/^(gpt-4|gpt-3\.5)/, () => import('gpt-tokenizer/encoding/cl100k_base')],
];

const BYTES_A_TOKEN = 4;

/**
 * Text is counted in pieces, with a turn of the event loop after each: 4,096 characters take about a millisecond,
 * and a long word costs the square of its length. A cut costs at most one token too many.
 */
const PIECE = 4_096;

export function makeTokenizer(): Tokenizer {
  return {
    count: async (text, model, signal) => {
      const name = model.split('/').at(-1)?.toLowerCase() ?? '';
      const encoding = ENCODINGS.find(([pattern]) => pattern.test(name));
      if (encoding === undefined) return Math.ceil(Buffer.byteLength(text) / BYTES_A_TOKEN);
      const { countTokens } = await encoding[1]();
      let tokens = 0;
      for (let from = 0; from < text.length;) {
        signal.throwIfAborted();
        const to = cutAt(text, from);
        tokens += countTokens(text.slice(from, to));
        from = to;
        if (from < text.length) await turnOfTheLoop();
      }
      return tokens;
    },
  };
}

/** Before a space, since tokens begin with one; else anywhere but inside a surrogate pair. */
function cutAt(text: string, from: number): number {
  const end = from + PIECE;
  if (end >= text.length) return text.length;
  const space = text.lastIndexOf(' ', end);
  if (space > from) return space;
  return isLowSurrogate(text.charCodeAt(end)) ? end - 1 : end;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
