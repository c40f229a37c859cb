import { z } from 'zod';

/** Input items as a client may send them, and output items as Holt shows them (contract.md §2, upstream.md §1b). */

/** Where a prefix that is used again ends, for an upstream that caches prompts. */
const cacheBreakpoint = z.object({ mode: z.literal('explicit') }).nullish();

const inputText = z.object({
  type: z.literal('input_text'),
  text: z.string(),
  prompt_cache_breakpoint: cacheBreakpoint,
});
const inputImage = z.object({
  type: z.literal('input_image'),
  image_url: z.string().nullish(),
  file_id: z.string().nullish(),
  detail: z.enum(['low', 'high', 'auto', 'original']).nullish(),
  prompt_cache_breakpoint: cacheBreakpoint,
});
const inputFile = z.object({
  type: z.literal('input_file'),
  filename: z.string().nullish(),
  file_data: z.string().nullish(),
  file_url: z.string().nullish(),
  file_id: z.string().nullish(),
  detail: z.enum(['low', 'high', 'auto']).nullish(),
  prompt_cache_breakpoint: cacheBreakpoint,
});
const inputAudio = z.object({
  type: z.literal('input_audio'),
  input_audio: z.object({ data: z.string(), format: z.enum(['mp3', 'wav']) }),
});
const outputText = z.object({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(z.unknown()).default([]),
  logprobs: z.array(z.unknown()).default([]),
});
const refusal = z.object({ type: z.literal('refusal'), refusal: z.string() });
const inputContent = z.discriminatedUnion('type', [inputText, inputImage, inputFile, inputAudio, outputText, refusal]);
const itemStatus = z.enum(['in_progress', 'completed', 'incomplete']);

/**
 * Ids of other servers hold more than a name, some hundred characters; ours have 52. Half a character could not be
 * found again.
 */
const itemId = z
  .string()
  .max(1_024)
  .check((context) => {
    if (context.value.isWellFormed()) return;
    context.issues.push({ code: 'custom', input: context.value, message: 'not a well-formed string.' });
  })
  .nullish();

/** Far above what clients send; each part is looked at on its own, so millions of empty ones would stall the rest. */
const MOST_PARTS = 2_048;
/** Each is looked up and indexed on its own: the same for the items of one request. */
export const MOST_INPUT_ITEMS = 10_000;

const message = z.object({
  type: z.literal('message'),
  id: itemId,
  role: z.enum(['user', 'assistant', 'system', 'developer']),
  content: z.union([z.string(), z.array(inputContent).max(MOST_PARTS)]),
  /** What the newest models of OpenAI call a part of their answer. */
  phase: z.enum(['commentary', 'final_answer']).nullish(),
  status: itemStatus.nullish(),
});
const functionCall = z.object({
  type: z.literal('function_call'),
  id: itemId,
  call_id: z.string().min(1),
  namespace: z.string().nullish(),
  name: z.string().min(1),
  arguments: z.string(),
  status: itemStatus.nullish(),
});
/** What a tool gave back. */
const toolOutput = z.union([
  z.string(),
  z.array(z.discriminatedUnion('type', [inputText, inputImage, inputFile])).max(MOST_PARTS),
]);
const functionCallOutput = z.object({
  type: z.literal('function_call_output'),
  id: itemId,
  call_id: z.string().min(1),
  output: toolOutput,
  status: itemStatus.nullish(),
});
const customToolCall = z.object({
  type: z.literal('custom_tool_call'),
  id: itemId,
  call_id: z.string().min(1),
  namespace: z.string().nullish(),
  name: z.string().min(1),
  input: z.string(),
  status: itemStatus.nullish(),
});
const customToolCallOutput = z.object({
  type: z.literal('custom_tool_call_output'),
  id: itemId,
  call_id: z.string().min(1),
  output: toolOutput,
  status: itemStatus.nullish(),
});
const reasoning = z.object({
  type: z.literal('reasoning'),
  id: itemId,
  summary: z
    .array(z.object({ type: z.literal('summary_text'), text: z.string() }))
    .max(MOST_PARTS)
    .default([]),
  content: z
    .array(z.object({ type: z.literal('reasoning_text'), text: z.string() }))
    .max(MOST_PARTS)
    .nullish(),
  encrypted_content: z.string().nullish(),
  status: itemStatus.nullish(),
});

/** An item that is stored here already, by its id. */
const itemReference = z.object({ type: z.literal('item_reference'), id: z.string().min(1) });

const ITEMS = [message, functionCall, functionCallOutput, customToolCall, customToolCallOutput, reasoning] as const;

/** A message and a reference may come without `type`: the short forms of every SDK's examples. */
export const inputItem = z.preprocess(withType, z.discriminatedUnion('type', ITEMS));
export type InputItem = z.infer<typeof inputItem>;

/** A longer conversation in a form that only this server can read (contract.md §1.7). */
const compaction = z.object({
  type: z.literal('compaction'),
  id: itemId,
  encrypted_content: z.string().min(1),
});

/** An item as it is kept and listed. */
export type StoredItem = InputItem | z.infer<typeof compaction>;

/** What a request may say instead of an item; what a reference stands for is put in its place before anybody sees it. */
export const requestItem = z.preprocess(withType, z.discriminatedUnion('type', [...ITEMS, compaction, itemReference]));
export type RequestItem = z.infer<typeof requestItem>;

function withType(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || ('type' in value && value.type !== null)) return value;
  if ('role' in value) return { ...value, type: 'message' };
  return 'id' in value ? { ...value, type: 'item_reference' } : value;
}

export type InputContent = z.infer<typeof inputContent>;

export type ItemStatus = z.infer<typeof itemStatus>;
export type Logprob = {
  token: string;
  logprob: number;
  bytes: number[];
  top_logprobs: { token: string; logprob: number; bytes: number[] }[];
};
export type Annotation = { type: 'url_citation'; url: string; title: string; start_index: number; end_index: number };
export type OutputTextPart = { type: 'output_text'; text: string; annotations: Annotation[]; logprobs: Logprob[] };
export type RefusalPart = { type: 'refusal'; refusal: string };
export type ReasoningTextPart = { type: 'reasoning_text'; text: string };
export type SummaryTextPart = { type: 'summary_text'; text: string };
export type ContentPart = OutputTextPart | RefusalPart | ReasoningTextPart;

export type OutputMessage = {
  id: string;
  type: 'message';
  status: ItemStatus;
  role: 'assistant';
  content: (OutputTextPart | RefusalPart)[];
};
export type OutputFunctionCall = {
  id: string;
  type: 'function_call';
  status: ItemStatus;
  call_id: string;
  /** Only if the tool is in one. */
  namespace?: string;
  name: string;
  arguments: string;
};
export type OutputCustomToolCall = {
  id: string;
  type: 'custom_tool_call';
  status: ItemStatus;
  call_id: string;
  /** Only if the tool is in one. */
  namespace?: string;
  name: string;
  input: string;
};
export type OutputReasoning = {
  id: string;
  type: 'reasoning';
  status: ItemStatus;
  summary: SummaryTextPart[];
  content: ReasoningTextPart[];
  /** Only in finished items, and only when it was asked for. */
  encrypted_content?: string;
};
export type OutputToolCall = OutputFunctionCall | OutputCustomToolCall;
export type OutputItem = OutputMessage | OutputToolCall | OutputReasoning;
