import { apiError } from '../../domain/errors.ts';
import type { CreateResponseBody } from '../../protocol/create-response.ts';
import type { InputContent, InputItem } from '../../protocol/items.ts';
import type { Dialect } from './dialect.ts';
import { pairCalls } from './pair-calls.ts';
import { readFile } from './read-file.ts';

/**
 * What Chat Completions can't carry is refused by name, before anything exists (design.md §2, promise 8). What is
 * missing here changes nothing about the answer: cache keys and user names are hints, metadata is ours, and the tier that
 * was used is told with the end.
 */
export function checkRequest(
  request: CreateResponseBody,
  items: readonly InputItem[],
  history: readonly InputItem[],
  dialect: Dialect,
): void {
  const source = typeof request.previous_response_id === 'string' ? 'previous_response_id' : 'conversation';
  history.forEach((item, place) => checkItem(item, `${source}[${place}]`, dialect));
  items.forEach((item, place) => checkItem(item, `input[${place}]`, dialect));
  checkReasoning(request);
  checkPairs([...history, ...items]);
}

function checkReasoning({ reasoning }: CreateResponseBody): void {
  const mode = reasoning?.mode ?? 'standard';
  if (mode === 'standard') return;
  throw unsupported('reasoning.mode', `can't be '${mode.slice(0, 64)}': the upstream of this model has one mode`);
}

function checkItem(item: InputItem, path: string, dialect: Dialect): void {
  if (item.type === 'message' && typeof item.content !== 'string') {
    checkParts(item.content, `${path}.content`, item.role === 'user', dialect);
  } else if (item.type === 'function_call_output' || item.type === 'custom_tool_call_output') {
    if (typeof item.output !== 'string') checkParts(item.output, `${path}.output`, true, dialect);
  }
}

function checkParts(parts: readonly InputContent[], path: string, media: boolean, dialect: Dialect): void {
  parts.forEach((part, place) => checkPart(part, `${path}[${place}]`, media, dialect));
}

/** @param media whether there may be more than text */
function checkPart(part: InputContent, path: string, media: boolean, dialect: Dialect): void {
  if (part.type !== 'input_image' && part.type !== 'input_file' && part.type !== 'input_audio') return;
  if (!media) {
    const reason = `can't be '${part.type}': only user messages and tool outputs have images, files and audio`;
    throw unsupported(`${path}.type`, reason);
  }
  if (part.type === 'input_audio') {
    if (dialect === 'generic') {
      throw unsupported(`${path}.type`, "can't be 'input_audio': the upstream of this model takes text and images");
    }
    return;
  }
  if (typeof part.file_id === 'string') throw notServed(`${path}.file_id`, `send the content as ${SOURCE[part.type]}`);
  if (part.type === 'input_file') checkFile(part, path, dialect);
  else if (typeof part.image_url !== 'string') throw missing(`${path}.image_url`);
}

const SOURCE = { input_image: 'image_url', input_file: 'file_data' } as const;

function checkFile(file: Extract<InputContent, { type: 'input_file' }>, path: string, dialect: Dialect): void {
  if (typeof file.file_url === 'string') throw notServed(`${path}.file_url`, 'send the content as file_data');
  if (typeof file.file_data !== 'string') throw missing(`${path}.file_data`);
  if (dialect === 'openai') {
    const detail = file.detail ?? 'auto';
    if (detail !== 'auto')
      throw unsupported(`${path}.detail`, `can't be '${detail}': the upstream renders files its way`);
    return;
  }
  const content = readFile(file.file_data);
  if (content === undefined) {
    throw apiError('invalid_value', {
      param: `${path}.file_data`,
      reason: 'must be a data URL, such as data:text/plain;base64,…, whose text is UTF-8',
    });
  }
  if (content.kind !== 'other') return;
  const type = content.type.slice(0, 64);
  throw unsupported(`${path}.file_data`, `can't be ${type}: the upstream of this model takes texts and images`);
}

function checkPairs(items: readonly InputItem[]): void {
  const { lonelyCall, lonelyOutput } = pairCalls(items);
  if (lonelyOutput !== undefined) {
    const custom = lonelyOutput.type === 'custom_tool_call_output';
    throw apiError(custom ? 'custom_tool_call_missing' : 'tool_call_missing', { call: lonelyOutput.call_id });
  }
  if (lonelyCall !== undefined) {
    const custom = lonelyCall.type === 'custom_tool_call';
    throw apiError(custom ? 'custom_tool_output_missing' : 'tool_output_missing', { call: lonelyCall.call_id });
  }
}

function notServed(param: string, instead: string): Error {
  return apiError('unsupported_parameter', { param, reason: `is not served: ${instead}` });
}

function missing(param: string): Error {
  return apiError('missing_required_parameter', { param });
}

function unsupported(param: string, reason: string): Error {
  return apiError('unsupported_value', { param, reason });
}
