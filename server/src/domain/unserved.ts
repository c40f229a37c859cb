import type { CreateResponseBody } from '../protocol/create-response.ts';
import type { CustomTool, FunctionTool, Tool } from '../protocol/tools.ts';
import type { ApiError } from './errors.ts';
import { isServed } from './tools.ts';
import type { ToolPlace } from './tools.ts';

/**
 * What a request asks for and can't get, though a model could answer without it. A strict model refuses, a lenient one
 * leaves it out and says so: nothing is dropped in silence (promise 8).
 */
export type Unserved = {
  /** Makes the answer of a strict model. */
  error(): ApiError;
  /** As the `holt-dropped` header names it: `tools[2].type=web_search`. */
  name: string;
  /** Takes it out of a draft that nobody else has. */
  leaveOut(draft: Draft): void;
};

/** A request under change. A tool that was left out is null until the end, so that the others keep their places. */
export type Draft = Omit<CreateResponseBody, 'tools'> & { tools: (Tool | null)[] };

/** The tool at a place of the draft, to be changed there; undefined when it is gone. */
export function draftTool(draft: Draft, [index, inner]: ToolPlace): FunctionTool | CustomTool | undefined {
  const entry = draft.tools[index];
  if (entry === null || entry === undefined || !isServed(entry)) return undefined;
  return entry.type === 'namespace' ? entry.tools[inner ?? 0] : entry;
}
