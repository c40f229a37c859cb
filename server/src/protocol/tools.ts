import { z } from 'zod';

/**
 * Tools as a client offers them, and its choice among them. A tool of a type that isn't served has a shape here too,
 * since a lenient model leaves it out: `responses/unserved.ts` decides.
 */

/** Far above what a model can choose from: each is looked at on its own. */
export const MOST_TOOLS = 10_000;

const NAME = /^[a-zA-Z0-9_-]{1,64}$/;

/** What both kinds of a client's own tools may say about who calls them and when. */
const calling = {
  defer_loading: z.boolean().nullish(),
  allowed_callers: z.array(z.enum(['direct', 'programmatic'])).nullish(),
};

const functionTool = z.object({
  type: z.literal('function'),
  name: z.string().regex(NAME),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  output_schema: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
  ...calling,
});
export type FunctionTool = z.infer<typeof functionTool>;

const customFormat = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('grammar'), syntax: z.enum(['lark', 'regex']), definition: z.string() }),
]);
export type CustomFormat = z.infer<typeof customFormat>;

/** Its input is text as the model writes it, not JSON. */
const customTool = z.object({
  type: z.literal('custom'),
  name: z.string().regex(NAME),
  description: z.string().nullish(),
  format: customFormat.nullish(),
  ...calling,
});
export type CustomTool = z.infer<typeof customTool>;

const namespaceTool = z.object({
  type: z.literal('namespace'),
  name: z.string().regex(NAME),
  description: z.string().nullish(),
  tools: z.array(z.discriminatedUnion('type', [functionTool, customTool])).min(1),
});
export type NamespaceTool = z.infer<typeof namespaceTool>;

const servedTool = z.discriminatedUnion('type', [functionTool, customTool, namespaceTool]);
const SERVED: ReadonlySet<string> = new Set(['function', 'custom', 'namespace']);

/** Anything else, by its type alone. */
const otherTool = z.object({ type: z.string() }).check((context) => {
  const { type } = context.value;
  if (SERVED.has(type)) context.issues.push({ code: 'custom', input: type, message: 'is not complete' });
});
export type OtherTool = { type: string };

export const tool = z.union([servedTool, otherTool]);
export type ServedTool = z.infer<typeof servedTool>;
export type Tool = ServedTool | OtherTool;

/** A tool that is allowed or forced; entries of other types have no name, or one that means something else. */
const toolReference = z.object({ type: z.string(), name: z.string().nullish() });
export type ToolReference = z.infer<typeof toolReference>;

export const toolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.discriminatedUnion('type', [
    z.object({ type: z.literal('function'), name: z.string() }),
    z.object({ type: z.literal('custom'), name: z.string() }),
    z.object({
      type: z.literal('allowed_tools'),
      mode: z.enum(['auto', 'required']),
      tools: z.array(toolReference).max(MOST_TOOLS),
    }),
  ]),
]);
export type ToolChoice = z.infer<typeof toolChoice>;
