import { callableTools, toolFinder } from '../../domain/tools.ts';
import type { CallableTool, FindTool } from '../../domain/tools.ts';
import type { CreateResponseBody } from '../../protocol/create-response.ts';
import type { CustomTool, FunctionTool, ToolChoice } from '../../protocol/tools.ts';
import type { Dialect } from './dialect.ts';
import { withoutNulls } from './json.ts';
import type { JsonObject } from './json.ts';

/**
 * The tool fields of a chat request (upstream.md §1c); none without tools, since OpenAI answers 400 to them then.
 * Chat knows no namespaces: their tools have them in their names. What knows no custom tools either gets functions
 * whose one argument is the input (`unwrap-input.ts` is the way back).
 */
export function mapTools(request: CreateResponseBody, dialect: Dialect): JsonObject {
  const callable = callableTools(request.tools);
  const find = toolFinder(callable);
  const offered = offeredTools(callable, find, request.tool_choice, dialect);
  if (offered.length === 0) return {};
  const introduced = new Set<string>();
  return withoutNulls({
    tools: offered.map((one) => mapTool(one, introduced, dialect)),
    tool_choice: mapChoice(find, request.tool_choice, dialect),
    parallel_tool_calls: request.parallel_tool_calls,
  });
}

/** Servers that don't know `allowed_tools` get the allowed ones as the only ones. */
function offeredTools(
  callable: readonly CallableTool[],
  find: FindTool,
  choice: CreateResponseBody['tool_choice'],
  dialect: Dialect,
): readonly CallableTool[] {
  if (!isObject(choice) || choice.type !== 'allowed_tools') return callable;
  // OpenAI refuses an empty list.
  if (dialect === 'openai' && choice.tools.length > 0) return callable;
  const allowed = new Set(choice.tools.map(find));
  return callable.filter((one) => allowed.has(one));
}

/** The first tool of a namespace also says what the namespace is. */
function mapTool({ tool, namespace, flatName }: CallableTool, introduced: Set<string>, dialect: Dialect): JsonObject {
  const isFirst = namespace !== undefined && !introduced.has(namespace.name);
  if (isFirst) introduced.add(namespace.name);
  const texts = [isFirst ? namespace.description : null, tool.description];
  const description = texts.filter((text) => text !== null && text !== undefined && text !== '').join('\n\n');
  const named = { name: flatName, description: description === '' ? undefined : description };
  return tool.type === 'function' ? functionTool(tool, named, dialect) : customTool(tool, named, dialect);
}

type Named = { name: string; description: string | undefined };

function functionTool(tool: FunctionTool, named: Named, dialect: Dialect): JsonObject {
  return {
    type: 'function',
    function: withoutNulls({
      ...named,
      parameters: tool.parameters ?? { type: 'object', properties: {} },
      strict: dialect === 'openai' ? tool.strict : undefined,
    }),
  };
}

function customTool(tool: CustomTool, named: Named, dialect: Dialect): JsonObject {
  if (dialect === 'openai') return { type: 'custom', custom: withoutNulls({ ...named, format: customFormat(tool) }) };
  const parameters = {
    type: 'object',
    properties: { input: { type: 'string', description: 'The input of the tool, as plain text.' } },
    required: ['input'],
    additionalProperties: false,
  };
  return { type: 'function', function: withoutNulls({ ...named, parameters }) };
}

/** Chat has the grammar one level deeper. */
function customFormat({ format }: CustomTool): JsonObject | undefined {
  if (format === null || format === undefined) return undefined;
  if (format.type === 'text') return { type: 'text' };
  const { syntax, definition } = format;
  return { type: 'grammar', grammar: { syntax, definition } };
}

function mapChoice(find: FindTool, choice: CreateResponseBody['tool_choice'], dialect: Dialect): unknown {
  if (!isObject(choice)) return choice;
  const named = ({ type, name }: { type: string; name?: string | null | undefined }): JsonObject => {
    const kind = type === 'custom' && dialect === 'openai' ? 'custom' : 'function';
    return { type: kind, [kind]: { name: find({ type, name })?.flatName ?? name } };
  };
  if (choice.type !== 'allowed_tools') return named(choice);
  if (dialect === 'generic') return choice.mode;
  return { type: 'allowed_tools', allowed_tools: { mode: choice.mode, tools: choice.tools.map(named) } };
}

function isObject(choice: CreateResponseBody['tool_choice']): choice is Exclude<ToolChoice, string> {
  return typeof choice === 'object' && choice !== null;
}
