import type { InputContent, InputItem } from '../../protocol/items.ts';
import type { Dialect } from './dialect.ts';
import type { JsonObject } from './json.ts';
import { pairCalls } from './pair-calls.ts';
import type { FunctionCall, FunctionCallOutput } from './pair-calls.ts';

type Message = Extract<InputItem, { type: 'message' }>;
type Reasoning = Extract<InputItem, { type: 'reasoning' }>;
type Assistant = { content: string; refusal: string; reasoning: string; calls: FunctionCall[] };

/**
 * Items -> chat messages (upstream.md §1b). A fold, not a map: what an assistant did in one turn becomes one message,
 * and the outputs of its calls follow it directly, in the order of the calls, wherever the client put them.
 */
export function foldMessages(instructions: string | null, items: readonly InputItem[], dialect: Dialect): JsonObject[] {
  const fold = new MessageFold(items, dialect);
  if (instructions !== null && instructions !== '') fold.system(instructions);
  items.forEach((item, place) => fold.add(item, place));
  return fold.end();
}

class MessageFold {
  readonly #messages: JsonObject[] = [];
  readonly #dialect: Dialect;
  readonly #outputOf: ReadonlyMap<FunctionCall, FunctionCallOutput>;
  readonly #lastUserPlace: number;
  #pending: Assistant = emptyTurn();

  constructor(items: readonly InputItem[], dialect: Dialect) {
    this.#dialect = dialect;
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
        if (place > this.#lastUserPlace) this.#pending.reasoning += reasoningText(item);
        return;
      case 'function_call':
        this.#pending.calls.push(item);
        return;
      case 'function_call_output':
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
    this.#messages.push({
      role: 'assistant',
      // Even when there is none: DeepSeek demands the key, others refuse a null.
      content,
      ...(refusal !== '' && { refusal }),
      // A thinking model wants its thoughts back inside a tool loop only; on a plain turn some answer 400.
      ...(reasoning !== '' && calls.length > 0 && this.#dialect === 'generic' && { reasoning_content: reasoning }),
      ...(calls.length > 0 && { tool_calls: calls.map(toolCall) }),
    });
    this.#outputs(calls);
  }

  #outputs(calls: readonly FunctionCall[]): void {
    const images: JsonObject[] = [];
    for (const call of calls) {
      const output = this.#outputOf.get(call)?.output;
      if (output === undefined) continue;
      const text = typeof output === 'string' ? output : joinTexts(output);
      this.#messages.push({ role: 'tool', tool_call_id: call.call_id, content: text });
      if (typeof output !== 'string') images.push(...output.filter((part) => part.type === 'input_image').map(image));
    }
    // A tool message is text; what the tools showed comes right after the last of them.
    if (images.length > 0) this.#messages.push({ role: 'user', content: images });
  }

  #content(content: Message['content']): string | JsonObject[] {
    if (typeof content === 'string') return content;
    const hasImages = content.some((part) => part.type === 'input_image');
    // Many chat templates can't read an array, so there is one only when it is needed.
    if (!hasImages && (this.#dialect === 'generic' || content.length < 2)) return joinTexts(content);
    return content.map((part) => (part.type === 'input_image' ? image(part) : { type: 'text', text: textOf(part) }));
  }
}

function emptyTurn(): Assistant {
  return { content: '', refusal: '', reasoning: '', calls: [] };
}

function toolCall(call: FunctionCall): JsonObject {
  return { id: call.call_id, type: 'function', function: { name: call.name, arguments: call.arguments } };
}

function reasoningText(item: Reasoning): string {
  const content = (item.content ?? []).map((part) => part.text).join('');
  return content === '' ? item.summary.map((part) => part.text).join('\n') : content;
}

function joinTexts(parts: readonly InputContent[]): string {
  return parts
    .filter((part) => part.type !== 'input_image')
    .map(textOf)
    .join('\n');
}

function textOf(part: InputContent): string {
  if (part.type === 'refusal') return part.refusal;
  if (part.type === 'input_text' || part.type === 'output_text') return part.text;
  throw new Error(`a ${part.type} is not text: the check of the request lets none come here`);
}

function image(part: Extract<InputContent, { type: 'input_image' }>): JsonObject {
  const detail = part.detail === 'original' ? 'high' : part.detail;
  return {
    type: 'image_url',
    image_url: { url: part.image_url, ...(detail !== undefined && detail !== null && { detail }) },
  };
}
