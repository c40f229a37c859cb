import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { InputItem, OutputReasoning } from '../protocol/items.ts';
import { apiError } from './errors.ts';
import type { Item } from './state-store.ts';

/**
 * Content that clients carry for this server and can't read: thoughts of a model, and what a long conversation was
 * compacted to.
 */

export type Sealed = {
  reasoning: { content: string[]; summary: string[] };
  compaction: { summary: string };
};

/** Authenticated encryption with the secret of this installation. Sealed content is of use to its project only. */
export interface Seal {
  seal<K extends keyof Sealed>(kind: K, projectId: string, value: Sealed[K]): string;
  /** Undefined for whatever was not sealed here, for this project, as this kind, by a secret that is still known. */
  open<K extends keyof Sealed>(kind: K, projectId: string, text: string): Sealed[K] | undefined;
}

/** What makes the `encrypted_content` of a finished reasoning item; undefined when nobody asked for it. */
export function reasoningSealer(
  seal: Seal,
  projectId: string,
  request: Pick<CreateResponseBody, 'include'>,
): ((item: OutputReasoning) => string) | undefined {
  if (request.include?.includes('reasoning.encrypted_content') !== true) return undefined;
  return ({ content, summary }) =>
    seal.seal('reasoning', projectId, {
      content: content.map((part) => part.text),
      summary: summary.map((part) => part.text),
    });
}

/**
 * Items as a provider sees them, place by place. Thoughts that can't be opened are left out, since a model can do
 * without; a compaction is a whole conversation: when it can't be opened, throws `compaction_unreadable`.
 * @param param what the items are called in the request
 */
export function openItems(seal: Seal, projectId: string, items: readonly Item[], param: string): InputItem[] {
  return items.map((item, place) => {
    if (item.type === 'compaction') {
      const opened = seal.open('compaction', projectId, item.encrypted_content);
      if (opened === undefined) {
        throw apiError('compaction_unreadable', { param: `${param}[${place}].encrypted_content` });
      }
      return {
        type: 'message',
        role: 'developer',
        content: `Summary of the conversation so far:\n\n${opened.summary}`,
      };
    }
    if (item.type !== 'reasoning' || typeof item.encrypted_content !== 'string') return item;
    const opened = seal.open('reasoning', projectId, item.encrypted_content);
    if (opened === undefined) return item;
    return {
      ...item,
      summary: opened.summary.map((text) => ({ type: 'summary_text', text })),
      content: opened.content.map((text) => ({ type: 'reasoning_text', text })),
    };
  });
}
