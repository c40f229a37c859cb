import type { DeltaEvent, ResponseEvent } from '../protocol/events.ts';
import type { Response } from '../protocol/response.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import { matchReference, resolveReference } from './chunk-references.ts';
import type { EndFields, Reference } from './chunk-references.ts';
import type { ContentPart, ItemStatus } from '../protocol/items.ts';

/**
 * events <-> the bytes of a chunk (design.md §5). A run of deltas of one part is one record: its place, the lengths
 * and the joined text. Whatever repeats the response (done events, the end) is a reference into it. Everything else
 * is its JSON. An event comes back equal in every key and in their order, so its SSE text is byte for byte the same.
 *
 * References are resolved against a *dictionary*: the Response as of the event or any later time. Output is only ever
 * appended to and an item is not touched once it is done, so any later state has what an event refers to.
 *
 * A body is a sequence of records that know their own length. Two bodies one after the other are the body of both;
 * `mergeBodies` also joins neighbouring runs.
 */

const RAW = 0;
const RUN = 64;
/** The place of an entry in this list and in the ones below is what is written: new ones go to the end. */
const REFERENCES = [
  'queued',
  'in_progress',
  'part_added',
  'part_text',
  'part_done',
  'summary_added',
  'summary_text',
  'summary_done',
  'arguments',
  'item_done',
  'end',
  'custom_input',
] as const satisfies Reference['to'][];
const STATUSES = ['in_progress', 'completed', 'incomplete'] as const satisfies ItemStatus[];
const PARTS = ['output_text', 'refusal', 'reasoning_text'] as const satisfies ContentPart['type'][];
const DELTAS = [
  'response.output_text.delta',
  'response.reasoning_text.delta',
  'response.refusal.delta',
  'response.reasoning_summary_text.delta',
  'response.function_call_arguments.delta',
  'response.custom_tool_call_input.delta',
] as const satisfies DeltaEvent['type'][];

type Run = { type: DeltaEvent['type']; item: number; part: number; lengths: number[]; text: string };
type Entry = { raw: string } | { reference: Reference } | { run: Run };

export function encodeEvents(events: readonly ResponseEvent[], dictionary: Response): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  for (let index = 0; index < events.length;) {
    const run = takeRun(events, index, dictionary);
    if (run !== undefined) {
      writeRun(writer, run);
      index += run.lengths.length;
      continue;
    }
    const event = events[index];
    if (event !== undefined) writeSingle(writer, event, dictionary);
    index += 1;
  }
  return writer.finish();
}

/** The body of a chunk that holds one `response.in_progress`, whatever the response. */
export function encodeInProgress(): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(1);
  writeReference(writer, { to: 'in_progress' });
  return writer.finish();
}

/**
 * The events of a body, numbered from `firstSequence`. `dictionary` is asked anew for every record that needs it, so
 * a fold that is fed with the result can be its own dictionary.
 */
export function* decodeEvents(
  body: Uint8Array,
  firstSequence: number,
  dictionary: () => Response,
): Generator<ResponseEvent, void, undefined> {
  const reader = new ByteReader(body);
  let sequence = firstSequence;
  while (!reader.done) {
    const entry = readEntry(reader);
    if ('run' in entry) {
      const { type, item, part, lengths, text } = entry.run;
      const itemId = dictionary().output[item]?.id;
      if (itemId === undefined) throw new RangeError(`a run belongs to item ${item}, which is not there`);
      let start = 0;
      for (const length of lengths) {
        yield deltaEvent(type, sequence, itemId, item, part, text.slice(start, start + length));
        start += length;
        sequence += 1;
      }
    } else {
      yield 'raw' in entry ? parseRaw(entry.raw, sequence) : resolveReference(entry.reference, sequence, dictionary());
      sequence += 1;
    }
  }
}

/** One body with the events of all, in their order. */
export function mergeBodies(bodies: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(bodies.reduce((sum, body) => sum + body.length, 16));
  let open: Run | undefined;
  for (const body of bodies) {
    const reader = new ByteReader(body);
    while (!reader.done) {
      const start = reader.position;
      const entry = readEntry(reader);
      if ('run' in entry) {
        const { run } = entry;
        if (open !== undefined && open.type === run.type && open.item === run.item && open.part === run.part) {
          for (const length of run.lengths) open.lengths.push(length);
          open.text += run.text;
        } else {
          if (open !== undefined) writeRun(writer, open);
          open = run;
        }
        continue;
      }
      if (open !== undefined) writeRun(writer, open);
      open = undefined;
      writer.raw(reader.from(start));
    }
  }
  if (open !== undefined) writeRun(writer, open);
  return writer.finish();
}

// ---------------------------------------------------------------- runs

function isDelta(event: ResponseEvent): event is DeltaEvent {
  return event.type.endsWith('.delta');
}

function partOf(event: DeltaEvent): number {
  switch (event.type) {
    case 'response.function_call_arguments.delta':
    case 'response.custom_tool_call_input.delta':
      return 0;
    case 'response.reasoning_summary_text.delta':
      return event.summary_index;
    case 'response.output_text.delta':
    case 'response.refusal.delta':
    case 'response.reasoning_text.delta':
      return event.content_index;
  }
}

/** Deltas from `index` on that belong to one part. Undefined when there is none, or only JSON can hold it. */
function takeRun(events: readonly ResponseEvent[], index: number, dictionary: Response): Run | undefined {
  const first = events[index];
  if (first === undefined || !isDelta(first)) return undefined;
  const run: Run = { type: first.type, item: first.output_index, part: partOf(first), lengths: [], text: '' };
  const itemId = dictionary.output[run.item]?.id;
  for (let at = index; at < events.length; at += 1) {
    const event = events[at];
    if (event === undefined || event.type !== run.type || !isDelta(event)) break;
    if (event.output_index !== run.item || partOf(event) !== run.part || event.item_id !== itemId) break;
    if (event.type === 'response.output_text.delta' && event.logprobs.length > 0) break;
    run.lengths.push(event.delta.length);
    run.text += event.delta;
  }
  // Half a surrogate pair has no UTF-8; JSON escapes it.
  return run.lengths.length > 0 && run.text.isWellFormed() ? run : undefined;
}

function deltaEvent(
  type: DeltaEvent['type'],
  sequence: number,
  itemId: string,
  item: number,
  part: number,
  delta: string,
): DeltaEvent {
  const at = { sequence_number: sequence, item_id: itemId, output_index: item };
  switch (type) {
    case 'response.output_text.delta':
      return { type, ...at, content_index: part, delta, logprobs: [] };
    case 'response.reasoning_text.delta':
    case 'response.refusal.delta':
      return { type, ...at, content_index: part, delta };
    case 'response.reasoning_summary_text.delta':
      return { type, ...at, summary_index: part, delta };
    case 'response.function_call_arguments.delta':
    case 'response.custom_tool_call_input.delta':
      return { type, ...at, delta };
  }
}

function writeRun(writer: ByteWriter, run: Run): void {
  writer.byte(RUN + DELTAS.indexOf(run.type));
  writer.integer(run.item);
  writer.integer(run.part);
  writer.integer(run.lengths.length);
  for (const length of run.lengths) writer.integer(length);
  writer.text(run.text);
}

// ---------------------------------------------------------------- single events

function writeSingle(writer: ByteWriter, event: ResponseEvent, dictionary: Response): void {
  const reference = matchReference(event, dictionary);
  if (reference !== undefined) {
    writeReference(writer, reference);
    return;
  }
  writer.byte(RAW);
  writer.text(JSON.stringify({ ...event, sequence_number: undefined }));
}

function writeReference(writer: ByteWriter, reference: Reference): void {
  writer.byte(1 + REFERENCES.indexOf(reference.to));
  switch (reference.to) {
    case 'queued':
    case 'in_progress':
      return;
    case 'end':
      writer.text(JSON.stringify(reference.fields));
      return;
    case 'arguments':
    case 'custom_input':
      writer.integer(reference.item);
      return;
    case 'item_done':
      writer.integer(reference.item);
      writer.byte(STATUSES.indexOf(reference.status));
      return;
    case 'part_added':
      writer.integer(reference.item);
      writer.integer(reference.part);
      writer.byte(PARTS.indexOf(reference.type));
      return;
    case 'part_text':
    case 'part_done':
    case 'summary_added':
    case 'summary_text':
    case 'summary_done':
      writer.integer(reference.item);
      writer.integer(reference.part);
      return;
  }
}

function parseRaw(json: string, sequence: number): ResponseEvent {
  const { type, ...rest } = JSON.parse(json) as Omit<ResponseEvent, 'sequence_number'>; // written by writeSingle
  return { type, sequence_number: sequence, ...rest } as ResponseEvent;
}

// ---------------------------------------------------------------- reading

function readEntry(reader: ByteReader): Entry {
  const opcode = reader.byte();
  if (opcode === RAW) return { raw: reader.text() };
  if (opcode < RUN) return { reference: readReference(reader, opcode) };
  const type = DELTAS[opcode - RUN];
  if (type === undefined) throw new RangeError(`unknown record ${opcode}`);
  const item = reader.integer();
  const part = reader.integer();
  const lengths = Array.from({ length: reader.integer() }, () => reader.integer());
  return { run: { type, item, part, lengths, text: reader.text() } };
}

function readReference(reader: ByteReader, opcode: number): Reference {
  const to = REFERENCES[opcode - 1];
  if (to === undefined) throw new RangeError(`unknown record ${opcode}`);
  switch (to) {
    case 'queued':
    case 'in_progress':
      return { to };
    case 'end':
      return { to, fields: JSON.parse(reader.text()) as EndFields }; // written by writeReference
    case 'arguments':
    case 'custom_input':
      return { to, item: reader.integer() };
    case 'item_done': {
      const item = reader.integer();
      const status = STATUSES[reader.byte()];
      if (status === undefined) throw new RangeError('unknown item status');
      return { to, item, status };
    }
    case 'part_added': {
      const item = reader.integer();
      const part = reader.integer();
      const type = PARTS[reader.byte()];
      if (type === undefined) throw new RangeError('unknown part type');
      return { to, item, part, type };
    }
    case 'part_text':
    case 'part_done':
    case 'summary_added':
    case 'summary_text':
    case 'summary_done':
      return { to, item: reader.integer(), part: reader.integer() };
  }
}
