import type { FinishReason } from '../../domain/upstream-event.ts';

/**
 * The servers' many words for four endings (upstream.md §3a). `error` is for reasons that say the model did not get to
 * its end. A word that is not known is a stop: the model ended by itself.
 */
export function mapFinishReason(reason: string): FinishReason | 'error' {
  switch (reason.toLowerCase()) {
    case 'tool_calls':
    case 'function_call':
    case 'tool_use':
      return 'tool_calls';
    case 'length':
    case 'max_tokens':
    case 'model_length':
    case 'model_context_window_exceeded':
      return 'length';
    case 'content_filter':
    case 'content-filter':
    case 'refusal':
    case 'safety':
    case 'recitation':
    case 'prohibited_content':
    case 'blocklist':
    case 'spii':
    case 'sensitive':
      return 'content_filter';
    case 'error':
    case 'abort':
    case 'aborted':
    case 'cancelled':
    case 'interrupted':
    case 'other':
    case 'malformed_function_call':
    case 'insufficient_system_resource':
      return 'error';
    default:
      return 'stop';
  }
}
