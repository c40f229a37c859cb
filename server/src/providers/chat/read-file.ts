/** Files that come inside a request, as data URLs. */

export type FileContent = { kind: 'text'; text: string } | { kind: 'image' } | { kind: 'other'; type: string };

const DATA_URL = /^data:([^,;]*)((?:;[^,;]*)*),/i;

/** Undefined for what is no data URL, or not what it says it is. */
export function readFile(dataUrl: string): FileContent | undefined {
  const [head, type = '', parameters = ''] = DATA_URL.exec(dataUrl.slice(0, HEAD_CHARACTERS)) ?? [];
  if (head === undefined) return undefined;
  const media = type.trim().toLowerCase() || 'text/plain';
  if (media.startsWith('image/')) return { kind: 'image' };
  if (!isText(media)) return { kind: 'other', type: media };
  const bytes = decode(dataUrl.slice(head.length), /;\s*base64\s*$/i.test(parameters));
  const text = bytes === undefined ? undefined : decodeUtf8(bytes);
  return text === undefined ? undefined : { kind: 'text', text };
}

/** A media type is a few words. */
const HEAD_CHARACTERS = 1_000;

function isText(media: string): boolean {
  return media.startsWith('text/') || media === 'application/json' || /^application\/.+\+json$/.test(media);
}

function decode(data: string, base64: boolean): Uint8Array | undefined {
  if (!base64) {
    try {
      return new TextEncoder().encode(decodeURIComponent(data));
    } catch {
      return undefined;
    }
  }
  const bytes = Buffer.from(data, 'base64');
  // Buffer skips what is not base64; then there is less than the length says.
  return bytes.length === Math.floor((data.replace(/=+$/, '').length * 3) / 4) ? bytes : undefined;
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
