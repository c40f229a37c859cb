import type { Turn } from '../../domain/ports.ts';
import type { InputContent, InputItem } from '../../protocol/items.ts';
import { flatName } from '../../domain/tools.ts';
import type { Dialect } from './dialect.ts';
import type { JsonObject } from './json.ts';
import { isMarked, isTextPart, mapPart } from './map-content.ts';
import { pairCalls } from './pair-calls.ts';
import type { Call, CallOutput } from './pair-calls.ts';

type Message = Extract<InputItem, { type: 'message' }>;
type Reasoning = Extract<InputItem, { type: 'reasoning' }>;
type Assistant = { content: string; refusal: string; reasoning: string; calls: Call[] };

type MessagesOf = Pick<Turn, 'instructions' | 'items' | 'request'>;

/**
 * Items -> chat messages (upstream.md §1b). A fold, not a map: what an assistant did in one turn becomes one message,
 * and the outputs of its calls follow it directly, in the order of the calls, wherever the client put them.
 */
export function foldMessages(turn: MessagesOf, dialect: Dialect): JsonObject[] {
  const { instructions, items } = turn;
  const fold = new MessageFold(items, dialect, turn.request.reasoning?.context === 'all_turns');
  if (instructions !== null && instructions !== '') fold.system(instructions);
  items.forEach((item, place) => fold.add(item, place));
  return fold.end();
}

class MessageFold {
  readonly #messages: JsonObject[] = [];
  readonly #dialect: Dialect;
  readonly #outputOf: ReadonlyMap<Call, CallOutput>;
  readonly #allTurns: boolean;
  readonly #lastUserPlace: number;
  #pending: Assistant = emptyTurn();

  /** @param allTurns the client wants every thought to go back */
  constructor(items: readonly InputItem[], dialect: Dialect, allTurns: boolean) {
    this.#dialect = dialect;
    this.#allTurns = allTurns;
    this.#outputOf = pairCalls(items).outputOf;
    this.#lastUserPlace = items.findLastIndex((item) => item.type === 'message' && item.role === 'user');
  }

  system(text: string): void {
    this.#messages.push({ role: this.#dialect === 'openai' ? 'developer' : 'system', content: text });
  }

  add(item: InputItem, place: number): void {
    switch (item.type) {
      case 'message':
        if (item.role === 'assistant') this.#assistant(item);
        else this.#other(item);
        return;
      case 'reasoning':
        // Older thoughts are of no use to a model, and some servers refuse them.
        if (this.#allTurns || place > this.#lastUserPlace) this.#pending.reasoning += reasoningText(item);
        return;
      case 'function_call':
      case 'custom_tool_call':
        this.#pending.calls.push(item);
        return;
      case 'function_call_output':
      case 'custom_tool_call_output':
        this.#flush();
        return;
    }
  }

  end(): JsonObject[] {
    this.#flush();
    return this.#messages;
  }

  #assistant(item: Message): void {
    const turn = this.#pending;
    if (typeof item.content === 'string') {
      turn.content += item.content;
      return;
    }
    for (const part of item.content) {
      if (part.type === 'refusal' && this.#dialect === 'openai') turn.refusal += part.refusal;
      else turn.content += textOf(part);
    }
  }

  #other(item: Message): void {
    this.#flush();
    const role = item.role === 'developer' && this.#dialect === 'generic' ? 'system' : item.role;
    this.#messages.push({ role, content: this.#content(item.content) });
  }

  #flush(): void {
    const { content, refusal, reasoning, calls } = this.#pending;
    this.#pending = emptyTurn();
    if (content === '' && refusal === '' && calls.length === 0) return;
    // A thinking model wants its thoughts back inside a tool loop only; on a plain turn some answer 400.
    const thinks = this.#dialect === 'generic' && reasoning !== '' && (this.#allTurns || calls.length > 0);
    this.#messages.push({
      role: 'assistant',
      // Even when there is none: DeepSeek demands the key, others refuse a null.
      content,
      ...(refusal !== '' && { refusal }),
      ...(thinks && { reasoning_content: reasoning }),
      ...(calls.length > 0 && { tool_calls: calls.map((call) => toolCall(call, this.#dialect)) }),
    });
    this.#outputs(calls);
  }

  #outputs(calls: readonly Call[]): void {
    const shown: JsonObject[] = [];
    for (const call of calls) {
      const output = this.#outputOf.get(call)?.output;
      if (output === undefined) continue;
      const parts = typeof output === 'string' ? [] : output.map((part) => mapPart(part, this.#dialect));
      const texts = parts.filter(isTextPart);
      const content = typeof output === 'string' ? output : texts.some(isMarked) ? texts : joinTexts(parts);
      this.#messages.push({ role: 'tool', tool_call_id: call.call_id, content });
      for (const part of parts) if (!isTextPart(part)) shown.push(part);
    }
    // A tool message is text; what the tools showed comes right after the last of them.
    if (shown.length > 0) this.#messages.push({ role: 'user', content: shown });
  }

  #content(content: Message['content']): string | JsonObject[] {
    if (typeof content === 'string') return content;
    const parts = content.map((part) => mapPart(part, this.#dialect));
    // Many chat templates can't read an array, so there is one only when it is needed.
    const textOnly = parts.every((part) => isTextPart(part) && !isMarked(part));
    return textOnly && (this.#dialect === 'generic' || parts.length < 2) ? joinTexts(parts) : parts;
  }
}

function emptyTurn(): Assistant {
  return { content: '', refusal: '', reasoning: '', calls: [] };
}

function toolCall(call: Call, dialect: Dialect): JsonObject {
  const name = flatName(call.namespace, call.name);
  if (call.type === 'function_call') {
    return { id: call.call_id, type: 'function', function: { name, arguments: call.arguments } };
  }
  if (dialect === 'openai') return { id: call.call_id, type: 'custom', custom: { name, input: call.input } };
  return { id: call.call_id, type: 'function', function: { name, arguments: JSON.stringify({ input: call.input }) } };
}

function reasoningText(item: Reasoning): string {
  const content = (item.content ?? []).map((part) => part.text).join('');
  return content === '' ? item.summary.map((part) => part.text).join('\n') : content;
}

function joinTexts(parts: readonly JsonObject[]): string {
  return parts
    .filter(isTextPart)
    .map((part) => part.text)
    .join('\n');
}

function textOf(part: InputContent): string {
  if (part.type === 'refusal') return part.refusal;
  if (part.type === 'input_text' || part.type === 'output_text') return part.text;
  throw new Error(`a ${part.type} is not text: the check of the request lets none come here`);
}
