import type { InputContent } from '../../protocol/items.ts';
import type { Dialect } from './dialect.ts';
import type { JsonObject } from './json.ts';
import { readFile } from './read-file.ts';

/** Content parts -> the parts of a chat message (upstream.md §1b), as far as `checkRequest` lets them through. */

type InputFile = Extract<InputContent, { type: 'input_file' }>;

export function mapPart(part: InputContent, dialect: Dialect): JsonObject {
  const mapped = mapContent(part, dialect);
  const cacheBreakpoint = 'prompt_cache_breakpoint' in part ? part.prompt_cache_breakpoint : undefined;
  if (dialect !== 'openai' || (cacheBreakpoint ?? null) === null) return mapped;
  return { ...mapped, prompt_cache_breakpoint: cacheBreakpoint };
}

function mapContent(part: InputContent, dialect: Dialect): JsonObject {
  switch (part.type) {
    case 'input_text':
    case 'output_text':
      return text(part.text);
    case 'refusal':
      return text(part.refusal);
    case 'input_image':
      return image(part.image_url, part.detail);
    case 'input_audio':
      return { type: 'input_audio', input_audio: part.input_audio };
    case 'input_file':
      return dialect === 'openai' ? openaiFile(part) : file(part);
  }
}

/** Whether a part is text to this upstream, and so needs no list of parts unless it is marked. */
export function isTextPart(part: JsonObject): part is { type: 'text'; text: string } {
  return part['type'] === 'text';
}

/** Whether a part says more than its content. */
export function isMarked(part: JsonObject): boolean {
  return 'prompt_cache_breakpoint' in part;
}

function text(text: string): JsonObject {
  return { type: 'text', text };
}

function image(url: string | null | undefined, detail: string | null | undefined): JsonObject {
  const known = detail === 'original' ? 'high' : (detail ?? 'auto');
  // The default is what it means to leave it out, and not every server knows the name.
  return { type: 'image_url', image_url: { url, ...(known !== 'auto' && { detail: known }) } };
}

function openaiFile({ filename, file_data }: InputFile): JsonObject {
  return { type: 'file', file: { ...(typeof filename === 'string' && { filename }), file_data } };
}

/** A text is told as one, by its name; a picture is shown as one. */
function file({ filename, file_data, detail }: InputFile): JsonObject {
  const content = readFile(file_data ?? '');
  if (content?.kind === 'image') return image(file_data, detail);
  if (content?.kind !== 'text') throw new Error('the check of the request lets only texts and images come here');
  return text(`File ${filename ?? 'without a name'}:\n${content.text}`);
}
