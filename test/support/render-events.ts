import { isToolCall } from '../../server/src/domain/tools.ts';
import type { ResponseEvent } from '../../server/src/protocol/events.ts';
import type { OutputItem } from '../../server/src/protocol/items.ts';
import type { Response } from '../../server/src/protocol/response.ts';

/**
 * Events as one line: `+i type name#call` item added, `(i.c type` part added, `i.c t"…"` a delta of text (r reasoning,
 * x refusal, a arguments, i input of a custom tool, s summary), the same in capitals its done event, `)i.c` part done, `-i status` item done.
 */
export function renderEvents(events: readonly ResponseEvent[]): string {
  return events
    .map(renderEvent)
    .filter((word) => word !== '')
    .join('  ');
}

function renderEvent(event: ResponseEvent): string {
  switch (event.type) {
    case 'response.created':
    case 'response.queued':
    case 'response.in_progress':
      return '';
    case 'response.output_item.added':
      return `+${event.output_index} ${renderItem(event.item)}`;
    case 'response.output_item.done':
      return `-${event.output_index} ${event.item.status}`;
    case 'response.content_part.added':
      return `(${place(event)} ${event.part.type}`;
    case 'response.content_part.done':
      return `)${place(event)}`;
    case 'response.output_text.delta':
      return `${place(event)} t${JSON.stringify(event.delta)}`;
    case 'response.output_text.done':
      return `${place(event)} T${JSON.stringify(event.text)}`;
    case 'response.reasoning_text.delta':
      return `${place(event)} r${JSON.stringify(event.delta)}`;
    case 'response.reasoning_text.done':
      return `${place(event)} R${JSON.stringify(event.text)}`;
    case 'response.refusal.delta':
      return `${place(event)} x${JSON.stringify(event.delta)}`;
    case 'response.refusal.done':
      return `${place(event)} X${JSON.stringify(event.refusal)}`;
    case 'response.function_call_arguments.delta':
      return `${event.output_index} a${JSON.stringify(event.delta)}`;
    case 'response.function_call_arguments.done':
      return `${event.output_index} A${JSON.stringify(event.arguments)}`;
    case 'response.custom_tool_call_input.delta':
      return `${event.output_index} i${JSON.stringify(event.delta)}`;
    case 'response.custom_tool_call_input.done':
      return `${event.output_index} I${JSON.stringify(event.input)}`;
    case 'response.completed':
    case 'response.incomplete':
    case 'response.failed':
      return renderEnd(event.response);
    default:
      return event.type;
  }
}

function place(event: { output_index: number; content_index: number }): string {
  return `${event.output_index}.${event.content_index}`;
}

function renderItem(item: OutputItem): string {
  return isToolCall(item) ? `${item.type} ${item.name}#${item.call_id}` : item.type;
}

function renderEnd(response: Response): string {
  if (response.status === 'failed') return `failed:${response.error?.code}`;
  if (response.status === 'incomplete') return `incomplete:${response.incomplete_details?.reason}`;
  const { usage } = response;
  return `${response.status} u=${usage === null ? 'null' : `${usage.input_tokens}/${usage.output_tokens}`}`;
}
