import { apiError } from '../domain/errors.ts';
import type { StoredConversation } from '../domain/state-store.ts';
import type { Conversation, DeletedConversation } from '../protocol/conversation.ts';
import type { RequestItem } from '../protocol/items.ts';
import type { ResponsesDeps } from './deps.ts';
import { expandInput } from './expand-input.ts';
import { retentionOf } from './retention-of.ts';

/** Conversations without their items (contract.md §1.8). They are kept until they are deleted. */

type Deps = Pick<ResponsesDeps, 'store' | 'ids' | 'clock' | 'settings' | 'projects'>;

/** What a client says is not stored under zero data retention. What is stored already can be read and deleted. */
export async function checkMayKeep(
  deps: Pick<ResponsesDeps, 'projects' | 'settings'>,
  projectId: string,
): Promise<void> {
  if ((await retentionOf(deps, projectId)) === 'zero_data_retention') throw apiError('conversation_kept');
}

export async function createConversation(
  deps: Deps,
  projectId: string,
  metadata: Record<string, string>,
  items: readonly RequestItem[],
): Promise<Conversation> {
  await checkMayKeep(deps, projectId);
  const expanded = await expandInput(deps, projectId, [...items], []);
  const conversation = { id: deps.ids.item('conv'), createdAt: deps.clock.now(), metadata };
  await deps.store.createConversation(projectId, conversation, expanded);
  return toWire(conversation);
}

export async function retrieveConversation(deps: Deps, projectId: string, id: string): Promise<Conversation> {
  const found = await deps.store.findConversation(projectId, id);
  if (found === undefined) throw apiError('conversation_not_found', { id });
  return toWire(found);
}

export async function updateConversation(
  deps: Deps,
  projectId: string,
  id: string,
  metadata: Record<string, string>,
): Promise<Conversation> {
  await checkMayKeep(deps, projectId);
  const updated = await deps.store.setMetadata(projectId, id, metadata);
  if (updated === undefined) throw apiError('conversation_not_found', { id });
  return toWire(updated);
}

/** Responses that run over it go on, and add nothing to it. */
export async function deleteConversation(deps: Deps, projectId: string, id: string): Promise<DeletedConversation> {
  if (!(await deps.store.deleteConversation(projectId, id))) throw apiError('conversation_not_found', { id });
  return { id, object: 'conversation.deleted', deleted: true };
}

function toWire({ id, createdAt, metadata }: StoredConversation): Conversation {
  return { id, object: 'conversation', created_at: Math.floor(createdAt / 1000), metadata };
}
