import type { UpstreamEvent } from '../../domain/upstream-event.ts';
import type { Annotation, Logprob } from '../../protocol/items.ts';
import { asList, asObject, asText } from './json.ts';
import type { JsonObject } from './json.ts';
import type { ToolCallDelta } from './tool-call-keys.ts';

/** The readers of the parts of a chat delta, each for all the spellings in use (upstream.md §2b). */

type ReasoningEvent = Extract<UpstreamEvent, { type: 'reasoning' }>;
type TextEvent = Extract<UpstreamEvent, { type: 'text' }>;

/** One spelling only, since some servers send the same thought under two names. */
export function readReasoning(delta: JsonObject): string | undefined {
  return asText(delta['reasoning_content']) ?? asText(delta['reasoning']) ?? asText(delta['thinking']);
}

/** OpenRouter's list, of use when there is no plain text. */
export function readReasoningDetails(delta: JsonObject): ReasoningEvent[] {
  return asList(delta['reasoning_details']).flatMap((entry): ReasoningEvent[] => {
    const detail = asObject(entry);
    const text = asText(detail?.['text']);
    const summary = asText(detail?.['summary']);
    if (text !== undefined) return [{ type: 'reasoning', kind: 'text', delta: text }];
    return summary === undefined ? [] : [{ type: 'reasoning', kind: 'summary', delta: summary }];
  });
}

/** Content that is an array of typed parts (Mistral). */
export function readContentParts(parts: readonly unknown[]): (ReasoningEvent | TextEvent)[] {
  return parts.flatMap((entry): (ReasoningEvent | TextEvent)[] => {
    const part = asObject(entry);
    if (part?.['type'] === 'thinking') {
      const thoughts =
        asText(part['thinking']) ??
        asList(part['thinking'])
          .map((thought) => textIn(thought))
          .join('');
      return thoughts === '' ? [] : [{ type: 'reasoning', kind: 'text', delta: thoughts }];
    }
    const text = textIn(entry);
    return text === '' ? [] : [{ type: 'text', delta: text }];
  });
}

function textIn(part: unknown): string {
  return asText(asObject(part)?.['text']) ?? '';
}

export function readToolCall(value: unknown): ToolCallDelta {
  const call = asObject(value) ?? {};
  const custom = asObject(call['custom']);
  // Some servers leave out the inner object.
  const named = custom ?? asObject(call['function']) ?? call;
  const args = custom === undefined ? named['arguments'] : named['input'];
  return {
    index: typeof call['index'] === 'number' ? call['index'] : undefined,
    custom: custom !== undefined,
    id: asText(call['id']),
    name: asText(named['name']),
    arguments: typeof args === 'object' && args !== null ? JSON.stringify(args) : asText(args),
  };
}

export function readLogprobs(choice: JsonObject): Logprob[] {
  return asList(asObject(choice['logprobs'])?.['content']).flatMap((entry) => {
    const logprob = readLogprob(entry);
    if (logprob === undefined) return [];
    const top = asList(asObject(entry)?.['top_logprobs']).flatMap((other) => readLogprob(other) ?? []);
    return [{ ...logprob, top_logprobs: top }];
  });
}

function readLogprob(value: unknown): Omit<Logprob, 'top_logprobs'> | undefined {
  const entry = asObject(value);
  const token = entry?.['token'];
  const logprob = entry?.['logprob'];
  if (typeof token !== 'string' || typeof logprob !== 'number') return undefined;
  const bytes = entry?.['bytes'];
  const all = asList(bytes).filter((byte) => typeof byte === 'number');
  // Upstreams may leave them out or say null; in a Responses text part they are always there.
  return { token, logprob, bytes: Array.isArray(bytes) ? all : [...new TextEncoder().encode(token)] };
}

/** `url_citation` in its nested form and the flat one; nothing else has a place in a Responses text part. */
export function readAnnotations(delta: JsonObject): Annotation[] {
  return asList(delta['annotations']).flatMap((value) => {
    const annotation = asObject(value);
    const citation = asObject(annotation?.['url_citation']) ?? annotation;
    const url = asText(citation?.['url']);
    if (annotation?.['type'] !== 'url_citation' || url === undefined) return [];
    return [urlCitation(url, asText(citation?.['title']), citation?.['start_index'], citation?.['end_index'])];
  });
}

/** The sources of a whole answer (Perplexity), which name no place in it. */
export function readCitations(chunk: JsonObject): string[] {
  return asList(chunk['citations']).flatMap(
    (citation) => asText(citation) ?? asText(asObject(citation)?.['url']) ?? [],
  );
}

export function urlCitation(url: string, title: string | undefined, start: unknown, end: unknown): Annotation {
  return {
    type: 'url_citation',
    url,
    title: title ?? url,
    start_index: typeof start === 'number' ? start : 0,
    end_index: typeof end === 'number' ? end : 0,
  };
}
