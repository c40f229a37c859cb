import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { InputContent, InputItem } from '../protocol/items.ts';

/** What an input is made of, to be counted or estimated. */

/** What a chat template puts around each message, and before the answer, as OpenAI documents it for its models. */
const AROUND_MESSAGE = 3;
const BEFORE_ANSWER = 3;
/** OpenAI's figures for an image: one tile in low detail, and a square of 1,024 pixels otherwise. */
const IMAGE_LOW = 85;
const IMAGE_HIGH = 765;

/** Of a file as a text: three bytes are four characters of base64, and four bytes some token. */
const TOKENS_A_BASE64 = 3 / 16;

/** In English and code; others have fewer. */
const CHARACTERS_A_TOKEN = 4;

/** What an input is made of, as far as it can be counted. */
type Countable = { texts: string[]; tokens: number };

/** About what the input costs, and all that the output may. In no time, and without a tokenizer. */
export function mostTokens(body: CreateResponseBody, items: readonly InputItem[]): number {
  const { texts, tokens } = countable(body, items);
  const read = texts.reduce((sum, text) => sum + text.length, 0) / CHARACTERS_A_TOKEN;
  return Math.ceil(read) + tokens + (body.max_output_tokens ?? 0);
}

/** What the model is going to read. */
export function countable(body: CreateResponseBody, items: readonly InputItem[]): Countable {
  const counted: Countable = { texts: [], tokens: 0 };
  if (items.length > 0) counted.tokens += BEFORE_ANSWER;
  if (typeof body.instructions === 'string' && body.instructions !== '') {
    counted.tokens += AROUND_MESSAGE;
    counted.texts.push('system', body.instructions);
  }
  for (const item of items) addItem(counted, item);
  addDefinitions(counted, body);
  return counted;
}

function addItem(counted: Countable, item: InputItem): void {
  counted.tokens += AROUND_MESSAGE;
  switch (item.type) {
    case 'message':
      counted.texts.push(item.role);
      addContent(counted, item.content);
      return;
    case 'function_call':
      counted.texts.push(item.name, item.arguments);
      return;
    case 'custom_tool_call':
      counted.texts.push(item.name, item.input);
      return;
    case 'function_call_output':
    case 'custom_tool_call_output':
      addContent(counted, item.output);
      return;
    case 'reasoning':
      for (const { text } of item.content ?? []) counted.texts.push(text);
      for (const { text } of item.summary) counted.texts.push(text);
      return;
  }
}

function addContent(counted: Countable, content: string | readonly InputContent[]): void {
  if (typeof content === 'string') {
    counted.texts.push(content);
    return;
  }
  for (const part of content) {
    if (part.type === 'input_image') counted.tokens += part.detail === 'low' ? IMAGE_LOW : IMAGE_HIGH;
    else if (part.type === 'input_file') counted.tokens += Math.ceil((part.file_data?.length ?? 0) * TOKENS_A_BASE64);
    else if (part.type === 'refusal') counted.texts.push(part.refusal);
    else if (part.type === 'input_text' || part.type === 'output_text') counted.texts.push(part.text);
  }
}

/** Tools and formats reach the model as text, too. */
function addDefinitions(counted: Countable, body: Pick<CreateResponseBody, 'tools' | 'text'>): void {
  for (const tool of body.tools ?? []) counted.texts.push(JSON.stringify(tool));
  if (body.text?.format?.type === 'json_schema') counted.texts.push(JSON.stringify(body.text.format.schema));
}
