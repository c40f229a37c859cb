import type { UpstreamUsage } from '../../domain/upstream-event.ts';
import { asObject } from './json.ts';
import type { JsonObject } from './json.ts';

/** The usage a chunk carries in any of the places servers put it (upstream.md §2b), or undefined: never zeros. */
export function findUsage(chunk: JsonObject, choice: JsonObject | undefined): UpstreamUsage | undefined {
  if (chunk['usage'] === undefined && chunk['x_groq'] === undefined && choice?.['usage'] === undefined)
    return undefined;
  return (
    mapUsage(asObject(chunk['usage'])) ??
    mapUsage(asObject(choice?.['usage'])) ??
    mapUsage(asObject(asObject(chunk['x_groq'])?.['usage']))
  );
}

function mapUsage(usage: JsonObject | undefined): UpstreamUsage | undefined {
  const inputTokens = count(usage?.['prompt_tokens']);
  const outputTokens = count(usage?.['completion_tokens']);
  if (usage === undefined || inputTokens === undefined || outputTokens === undefined) return undefined;
  const input = asObject(usage['prompt_tokens_details']);
  const cachedTokens = count(input?.['cached_tokens']) ?? count(usage['prompt_cache_hit_tokens']);
  const cacheWriteTokens = count(input?.['cache_write_tokens']) ?? count(input?.['cache_creation_tokens']);
  const reasoningTokens = count(asObject(usage['completion_tokens_details'])?.['reasoning_tokens']);
  return {
    inputTokens,
    outputTokens,
    ...(cachedTokens !== undefined && { cachedTokens }),
    ...(cacheWriteTokens !== undefined && { cacheWriteTokens }),
    ...(reasoningTokens !== undefined && { reasoningTokens }),
  };
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
