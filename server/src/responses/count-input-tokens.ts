import { ApiError, apiError } from '../domain/errors.ts';
import type { ErrorName } from '../domain/errors.ts';
import type { ModelBinding } from '../domain/ports.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { InputContent, InputItem } from '../protocol/items.ts';
import type { CountTokensBody, InputTokens } from '../protocol/input-tokens.ts';
import type { ResponsesDeps } from './deps.ts';
import { expandInput } from './expand-input.ts';
import { openTurn, readHistory } from './read-history.ts';
import { serveRequest } from './serve-request.ts';

/** `POST /v1/responses/input_tokens`: what a request with this body would count (contract.md §1.6). */

type Deps = Pick<ResponsesDeps, 'store' | 'ids' | 'clock' | 'seal' | 'models' | 'tokenizer'>;

/** What a chat template puts around each message, and before the answer, as OpenAI documents it for its models. */
const AROUND_MESSAGE = 3;
const BEFORE_ANSWER = 3;
/** OpenAI's figures for an image: one tile in low detail, and a square of 1,024 pixels otherwise. */
const IMAGE_LOW = 85;
const IMAGE_HIGH = 765;

/** Of a file as a text: three bytes are four characters of base64, and four bytes some token. */
const TOKENS_A_BASE64 = 3 / 16;

/** What an input is made of, as far as it can be counted. */
type Countable = { texts: string[]; tokens: number };

export async function countInputTokens(
  deps: Deps,
  projectId: string,
  body: CountTokensBody,
  signal: AbortSignal,
): Promise<{ inputTokens: InputTokens; dropped: string[] }> {
  if ((body.personality ?? null) !== null) {
    throw apiError('unsupported_parameter', { param: 'personality', reason: 'is not served: models here have none' });
  }
  const model = body.model ?? '';
  if (model === '') throw apiError('missing_required_parameter', { param: 'model' });
  const binding = deps.models.resolve(model);
  if (binding === undefined) throw apiError('model_not_found', { model });
  const { body: served, dropped } = serveRequest(body, binding);
  const history = await readHistory(deps, projectId, body, { mayBeHeld: true });
  const inputItems = await expandInput(deps, projectId, body.input ?? [], history.items);
  const { before, input } = openTurn(deps.seal, projectId, history, inputItems);
  check(binding, served, input, before);
  const { texts, tokens } = countable(served, [...before, ...input]);
  let total = tokens;
  for (const text of texts) total += await deps.tokenizer.count(text, binding.upstreamModel, signal);
  return { inputTokens: { object: 'response.input_tokens', input_tokens: total }, dropped };
}

/** In the middle of a turn, which no model could answer yet, a history can be counted all the same. */
const UNPAIRED: ReadonlySet<ErrorName> = new Set([
  'tool_call_missing',
  'tool_output_missing',
  'custom_tool_call_missing',
  'custom_tool_output_missing',
]);

function check(
  { provider }: ModelBinding,
  body: CreateResponseBody,
  input: readonly InputItem[],
  before: readonly InputItem[],
): void {
  try {
    provider.check(body, input, before);
  } catch (error) {
    if (!(error instanceof ApiError) || !UNPAIRED.has(error.row)) throw error;
  }
}

function countable(body: CreateResponseBody, items: readonly InputItem[]): Countable {
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
