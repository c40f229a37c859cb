import { apiError } from '../../domain/errors.ts';
import type { CreateResponseBody } from '../../protocol/create-response.ts';
import type { InputContent, InputItem } from '../../protocol/items.ts';
import type { Dialect } from './dialect.ts';
import { pairCalls } from './pair-calls.ts';

/**
 * What Chat Completions can't carry is refused by name, before anything exists (design.md §2, promise 8). What is
 * missing here changes nothing about the answer: cache keys and user names are hints, metadata is ours.
 */
export function checkRequest(
  request: CreateResponseBody,
  items: readonly InputItem[],
  history: readonly InputItem[],
  dialect: Dialect,
): void {
  const source = typeof request.previous_response_id === 'string' ? 'previous_response_id' : 'conversation';
  history.forEach((item, place) => checkItem(item, `${source}[${place}]`));
  items.forEach((item, place) => checkItem(item, `input[${place}]`));
  checkPairs([...history, ...items]);
  if (dialect === 'generic') checkOpenaiOnly(request);
}

function checkOpenaiOnly(request: CreateResponseBody): void {
  const verbosity = request.text?.verbosity ?? 'medium';
  if (verbosity !== 'medium') {
    throw unsupported('text.verbosity', `can't be '${verbosity}': the upstream of this model knows no verbosity`);
  }
  const tier = request.service_tier ?? 'auto';
  if (tier !== 'auto' && tier !== 'default') {
    throw unsupported('service_tier', `can't be '${tier}': the upstream of this model has no service tiers`);
  }
}

function checkItem(item: InputItem, path: string): void {
  if (item.type === 'message' && typeof item.content !== 'string') {
    checkParts(item.content, `${path}.content`, item.role === 'user');
  } else if (item.type === 'function_call_output' && typeof item.output !== 'string') {
    checkParts(item.output, `${path}.output`, true);
  }
}

function checkParts(parts: readonly InputContent[], path: string, images: boolean): void {
  parts.forEach((part, place) => checkPart(part, `${path}[${place}]`, images));
}

function checkPart(part: InputContent, path: string, images: boolean): void {
  if (part.type === 'input_file' || part.type === 'input_audio') {
    throw unsupported(`${path}.type`, `can't be '${part.type}': the upstream of this model takes text and images`);
  }
  if (part.type !== 'input_image') return;
  if (!images)
    throw unsupported(`${path}.type`, "can't be 'input_image': only user messages and tool outputs show images");
  if (typeof part.file_id === 'string') {
    throw apiError('unsupported_parameter', {
      param: `${path}.file_id`,
      reason: 'is not served: send the image as image_url',
    });
  }
  if (typeof part.image_url !== 'string') throw apiError('missing_required_parameter', { param: `${path}.image_url` });
}

function checkPairs(items: readonly InputItem[]): void {
  const { lonelyCall, lonelyOutput } = pairCalls(items);
  if (lonelyOutput !== undefined) throw apiError('tool_call_missing', { call: lonelyOutput.call_id });
  if (lonelyCall !== undefined) throw apiError('tool_output_missing', { call: lonelyCall.call_id });
}

function unsupported(param: string, reason: string): Error {
  return apiError('unsupported_value', { param, reason });
}
