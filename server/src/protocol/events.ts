import type { Annotation, ContentPart, Logprob, OutputItem, SummaryTextPart } from './items.ts';
import type { Response } from './response.ts';

/** The stream events Holt sends (contract.md §3.3). `sequence_number` is dense from 0 in every response. */

type Numbered = { sequence_number: number };
type InItem = { item_id: string; output_index: number };
type InPart = InItem & { content_index: number };
type InSummary = InItem & { summary_index: number };

// lifecycle
export type TerminalEvent = {
  type: 'response.completed' | 'response.incomplete' | 'response.failed';
  response: Response;
} & Numbered;
export type LifecycleEvent = {
  type: 'response.created' | 'response.queued' | 'response.in_progress';
  response: Response;
} & Numbered;

// items and parts
export type OutputItemEvent = {
  type: 'response.output_item.added' | 'response.output_item.done';
  output_index: number;
  item: OutputItem;
} & Numbered;
export type ContentPartEvent = {
  type: 'response.content_part.added' | 'response.content_part.done';
  part: ContentPart;
} & InPart &
  Numbered;
export type SummaryPartEvent = {
  type: 'response.reasoning_summary_part.added' | 'response.reasoning_summary_part.done';
  part: SummaryTextPart;
} & InSummary &
  Numbered;
export type AnnotationEvent = {
  type: 'response.output_text.annotation.added';
  annotation_index: number;
  annotation: Annotation;
} & InPart &
  Numbered;

// text
export type TextDeltaEvent = {
  type: 'response.output_text.delta';
  delta: string;
  logprobs: Logprob[];
} & InPart &
  Numbered;
export type TextDoneEvent = { type: 'response.output_text.done'; text: string; logprobs: Logprob[] } & InPart &
  Numbered;
export type RefusalDeltaEvent = { type: 'response.refusal.delta'; delta: string } & InPart & Numbered;
export type RefusalDoneEvent = { type: 'response.refusal.done'; refusal: string } & InPart & Numbered;
export type ReasoningDeltaEvent = { type: 'response.reasoning_text.delta'; delta: string } & InPart & Numbered;
export type ReasoningDoneEvent = { type: 'response.reasoning_text.done'; text: string } & InPart & Numbered;
export type SummaryDeltaEvent = { type: 'response.reasoning_summary_text.delta'; delta: string } & InSummary & Numbered;
export type SummaryDoneEvent = { type: 'response.reasoning_summary_text.done'; text: string } & InSummary & Numbered;

// tool calls
export type ArgumentsDeltaEvent = { type: 'response.function_call_arguments.delta'; delta: string } & InItem & Numbered;
export type ArgumentsDoneEvent = {
  type: 'response.function_call_arguments.done';
  name: string;
  arguments: string;
} & InItem &
  Numbered;
export type CustomInputDeltaEvent = { type: 'response.custom_tool_call_input.delta'; delta: string } & InItem &
  Numbered;
export type CustomInputDoneEvent = { type: 'response.custom_tool_call_input.done'; input: string } & InItem & Numbered;

export type DeltaEvent =
  | TextDeltaEvent
  | RefusalDeltaEvent
  | ReasoningDeltaEvent
  | SummaryDeltaEvent
  | ArgumentsDeltaEvent
  | CustomInputDeltaEvent;

export type ResponseEvent =
  | LifecycleEvent
  | TerminalEvent
  | OutputItemEvent
  | ContentPartEvent
  | SummaryPartEvent
  | AnnotationEvent
  | DeltaEvent
  | TextDoneEvent
  | RefusalDoneEvent
  | ReasoningDoneEvent
  | SummaryDoneEvent
  | ArgumentsDoneEvent
  | CustomInputDoneEvent;
