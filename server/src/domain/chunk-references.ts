import type { ResponseEvent } from '../protocol/events.ts';
import type { ContentPart, ItemStatus } from '../protocol/items.ts';
import type { Response, ResponseStatus } from '../protocol/response.ts';
import { isEnded, terminalEventType } from './status.ts';
import { isToolCall } from './tools.ts';

/**
 * Events that say again what the response holds, as pointers into it. What an event has and the response may not have
 * yet (the status of a done item, the fields of the end) travels with the pointer.
 */

export type Reference =
  | { to: 'queued' | 'in_progress' }
  | { to: 'part_added'; item: number; part: number; type: ContentPart['type'] }
  | { to: PartReference; item: number; part: number }
  | { to: 'arguments' | 'custom_input'; item: number }
  | { to: 'item_done'; item: number; status: ItemStatus }
  | { to: 'end'; fields: EndFields };

type PartReference = 'part_text' | 'part_done' | 'summary_added' | 'summary_text' | 'summary_done';

export type EndFields = Pick<
  Response,
  'status' | 'completed_at' | 'error' | 'incomplete_details' | 'usage' | 'service_tier'
>;

/** The reference that gives exactly this event, if there is one. */
export function matchReference(event: ResponseEvent, dictionary: Response): Reference | undefined {
  const reference = referenceOf(event);
  if (reference === undefined) return undefined;
  const resolved = tryResolve(reference, event.sequence_number, dictionary);
  return resolved !== undefined && sameJson(resolved, event) ? reference : undefined;
}

/** Throws RangeError when the dictionary has no such item or part. */
export function resolveReference(reference: Reference, sequence: number, dictionary: Response): ResponseEvent {
  const event = tryResolve(reference, sequence, dictionary);
  if (event === undefined) throw new RangeError(`nothing to refer to: ${JSON.stringify(reference)}`);
  return event;
}

function referenceOf(event: ResponseEvent): Reference | undefined {
  switch (event.type) {
    case 'response.queued':
      return { to: 'queued' };
    case 'response.in_progress':
      return { to: 'in_progress' };
    case 'response.content_part.added':
      return { to: 'part_added', item: event.output_index, part: event.content_index, type: event.part.type };
    case 'response.output_text.done':
    case 'response.refusal.done':
    case 'response.reasoning_text.done':
      return { to: 'part_text', item: event.output_index, part: event.content_index };
    case 'response.content_part.done':
      return { to: 'part_done', item: event.output_index, part: event.content_index };
    case 'response.reasoning_summary_part.added':
      return { to: 'summary_added', item: event.output_index, part: event.summary_index };
    case 'response.reasoning_summary_text.done':
      return { to: 'summary_text', item: event.output_index, part: event.summary_index };
    case 'response.reasoning_summary_part.done':
      return { to: 'summary_done', item: event.output_index, part: event.summary_index };
    case 'response.function_call_arguments.done':
      return { to: 'arguments', item: event.output_index };
    case 'response.custom_tool_call_input.done':
      return { to: 'custom_input', item: event.output_index };
    case 'response.output_item.done':
      return { to: 'item_done', item: event.output_index, status: event.item.status };
    case 'response.completed':
    case 'response.incomplete':
    case 'response.failed':
      return { to: 'end', fields: endFields(event.response) };
    case 'response.created':
    case 'response.output_item.added':
    case 'response.output_text.annotation.added':
    case 'response.output_text.delta':
    case 'response.refusal.delta':
    case 'response.reasoning_text.delta':
    case 'response.reasoning_summary_text.delta':
    case 'response.function_call_arguments.delta':
    case 'response.custom_tool_call_input.delta':
      return undefined;
  }
}

function tryResolve(reference: Reference, sequence: number, dictionary: Response): ResponseEvent | undefined {
  switch (reference.to) {
    case 'queued':
    case 'in_progress':
      return {
        type: `response.${reference.to}`,
        sequence_number: sequence,
        response: snapshotBeforeOutput(dictionary, reference.to),
      };
    case 'end': {
      const { status } = reference.fields;
      if (!isEnded(status)) return undefined;
      return {
        type: terminalEventType(status),
        sequence_number: sequence,
        response: { ...dictionary, ...reference.fields },
      };
    }
    case 'item_done': {
      const item = dictionary.output[reference.item];
      if (item === undefined) return undefined;
      return {
        type: 'response.output_item.done',
        sequence_number: sequence,
        output_index: reference.item,
        item: { ...item, status: reference.status },
      };
    }
    case 'arguments': {
      const item = dictionary.output[reference.item];
      if (item?.type !== 'function_call') return undefined;
      return {
        type: 'response.function_call_arguments.done',
        sequence_number: sequence,
        item_id: item.id,
        output_index: reference.item,
        name: item.name,
        arguments: item.arguments,
      };
    }
    case 'custom_input': {
      const item = dictionary.output[reference.item];
      if (item?.type !== 'custom_tool_call') return undefined;
      return {
        type: 'response.custom_tool_call_input.done',
        sequence_number: sequence,
        item_id: item.id,
        output_index: reference.item,
        input: item.input,
      };
    }
    case 'part_added': {
      const item = dictionary.output[reference.item];
      if (item === undefined) return undefined;
      const at = placeOf(reference, sequence, item.id);
      return { type: 'response.content_part.added', ...at, part: emptyPart(reference.type) };
    }
    case 'part_text':
    case 'part_done': {
      const item = dictionary.output[reference.item];
      const part = item === undefined || isToolCall(item) ? undefined : item.content[reference.part];
      if (item === undefined || part === undefined) return undefined;
      const at = placeOf(reference, sequence, item.id);
      return reference.to === 'part_text'
        ? partText(part, at)
        : { type: 'response.content_part.done', ...at, part: { ...part } };
    }
    case 'summary_added':
    case 'summary_text':
    case 'summary_done':
      return resolveSummary(reference.to, reference.item, reference.part, sequence, dictionary);
  }
}

function placeOf(reference: { item: number; part: number }, sequence: number, itemId: string): At {
  return {
    sequence_number: sequence,
    item_id: itemId,
    output_index: reference.item,
    content_index: reference.part,
  };
}

type At = { sequence_number: number; item_id: string; output_index: number; content_index: number };

/** The event that says a finished part's whole text. */
export function partText(part: ContentPart, at: At): ResponseEvent {
  switch (part.type) {
    case 'output_text':
      return { type: 'response.output_text.done', ...at, text: part.text, logprobs: part.logprobs };
    case 'refusal':
      return { type: 'response.refusal.done', ...at, refusal: part.refusal };
    case 'reasoning_text':
      return { type: 'response.reasoning_text.done', ...at, text: part.text };
  }
}

export function emptyPart(type: ContentPart['type']): ContentPart {
  switch (type) {
    case 'output_text':
      return { type, text: '', annotations: [], logprobs: [] };
    case 'refusal':
      return { type, refusal: '' };
    case 'reasoning_text':
      return { type, text: '' };
  }
}

function resolveSummary(
  to: 'summary_added' | 'summary_text' | 'summary_done',
  index: number,
  partIndex: number,
  sequence: number,
  dictionary: Response,
): ResponseEvent | undefined {
  const item = dictionary.output[index];
  if (item?.type !== 'reasoning') return undefined;
  const at = { sequence_number: sequence, item_id: item.id, output_index: index, summary_index: partIndex };
  if (to === 'summary_added') {
    return { type: 'response.reasoning_summary_part.added', ...at, part: { type: 'summary_text', text: '' } };
  }
  const part = item.summary[partIndex];
  if (part === undefined) return undefined;
  return to === 'summary_text'
    ? { type: 'response.reasoning_summary_text.done', ...at, text: part.text }
    : { type: 'response.reasoning_summary_part.done', ...at, part: { ...part } };
}

/** The snapshot of a response as it was while nothing had come out yet, from any later one. */
export function snapshotBeforeOutput(response: Response, status: ResponseStatus): Response {
  return {
    ...response,
    status,
    output: [],
    usage: null,
    completed_at: null,
    error: null,
    incomplete_details: null,
    service_tier: 'auto',
  };
}

function endFields(response: Response): EndFields {
  const { status, completed_at, error, incomplete_details, usage, service_tier } = response;
  return { status, completed_at, error, incomplete_details, usage, service_tier };
}

/** Whether two values have the same JSON, key order included. Strings are compared, not written out. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = Object.entries(a);
  const right = Object.entries(b);
  return (
    left.length === right.length &&
    left.every(([key, value], index) => key === right[index]?.[0] && sameJson(value, right[index][1]))
  );
}
