import { z } from 'zod';
import { metadata } from './create-response.ts';
import { requestItem } from './items.ts';

/** Conversations (contract.md §1.8). */

/** As many as OpenAI takes at once. */
const MOST_ITEMS = 20;

export const createConversationBody = z.object({
  items: z.array(requestItem).max(MOST_ITEMS).nullish(),
  metadata: metadata.nullish(),
});
export const updateConversationBody = z.object({ metadata });
export const addItemsBody = z.object({ items: z.array(requestItem).min(1).max(MOST_ITEMS) });

/** `created_at` in seconds. */
export type Conversation = {
  id: string;
  object: 'conversation';
  created_at: number;
  metadata: Record<string, string>;
};
export type DeletedConversation = { id: string; object: 'conversation.deleted'; deleted: true };
