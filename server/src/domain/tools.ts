import type { OutputItem, OutputToolCall } from '../protocol/items.ts';
import type { CustomTool, FunctionTool, ServedTool, Tool, ToolReference } from '../protocol/tools.ts';

/** What a model can call: the tools a client offers, those inside of namespaces too, each by a name of its own. */

/** The index of a tool in the request, and the one inside its namespace. */
export type ToolPlace = readonly [index: number, inner?: number];

export type CallableTool = {
  tool: FunctionTool | CustomTool;
  namespace: { name: string; description: string | null } | undefined;
  /** For a model that knows no namespaces: `namespace__tool`, or just the tool's name. */
  flatName: string;
  place: ToolPlace;
  /** The same as a parameter: `tools[1]`, `tools[1].tools[0]`. */
  path: string;
};

/** Of tools that aren't served there are none. */
export function callableTools(tools: readonly Tool[] | null | undefined): CallableTool[] {
  return (tools ?? []).flatMap((entry, index): CallableTool[] => {
    const path = `tools[${index}]`;
    if (!isServed(entry)) return [];
    if (entry.type !== 'namespace') {
      return [{ tool: entry, namespace: undefined, flatName: entry.name, place: [index], path }];
    }
    const namespace = { name: entry.name, description: entry.description ?? null };
    return entry.tools.map((tool, inner) => ({
      tool,
      namespace,
      flatName: flatName(entry.name, tool.name),
      place: [index, inner],
      path: `${path}.tools[${inner}]`,
    }));
  });
}

export function isServed(tool: Tool): tool is ServedTool {
  return tool.type === 'function' || tool.type === 'custom' || tool.type === 'namespace';
}

export function flatName(namespace: string | null | undefined, name: string): string {
  return namespace === null || namespace === undefined ? name : `${namespace}__${name}`;
}

export type FindTool = (reference: ToolReference) => CallableTool | undefined;

/** Finds the tool that a `tool_choice` means: by its flat name, or by its own one if it is in a namespace. */
export function toolFinder(tools: readonly CallableTool[]): FindTool {
  const byOwnName = new Map(tools.map((one) => [`${one.tool.type} ${one.tool.name}`, one]));
  const byFlatName = new Map(tools.map((one) => [`${one.tool.type} ${one.flatName}`, one]));
  return ({ type, name }) => byFlatName.get(`${type} ${name}`) ?? byOwnName.get(`${type} ${name}`);
}

/** Items of an output that have no content parts, and want an answer. */
export function isToolCall(item: OutputItem): item is OutputToolCall {
  return item.type === 'function_call' || item.type === 'custom_tool_call';
}
