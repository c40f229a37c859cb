import type { CreateResponseBody, FunctionTool, ToolChoice } from '../../protocol/create-response.ts';
import type { Dialect } from './dialect.ts';
import { withoutNulls } from './json.ts';
import type { JsonObject } from './json.ts';

/** The tool fields of a chat request (upstream.md §1c); none without tools, since OpenAI answers 400 to them then. */
export function mapTools(request: CreateResponseBody, dialect: Dialect): JsonObject {
  const tools = offeredTools(request, dialect);
  if (tools.length === 0) return {};
  return withoutNulls({
    tools: tools.map((tool) => functionTool(tool, dialect)),
    tool_choice: toolChoice(request.tool_choice, dialect),
    parallel_tool_calls: request.parallel_tool_calls,
  });
}

/** Servers that don't know `allowed_tools` get the allowed ones as the only ones. */
function offeredTools(request: CreateResponseBody, dialect: Dialect): FunctionTool[] {
  const tools = request.tools ?? [];
  const choice = request.tool_choice;
  if (dialect === 'openai' || !isObject(choice) || choice.type !== 'allowed_tools') return tools;
  const allowed = new Set(choice.tools.map((tool) => tool.name));
  return tools.filter((tool) => allowed.has(tool.name));
}

function functionTool(tool: FunctionTool, dialect: Dialect): JsonObject {
  return {
    type: 'function',
    function: withoutNulls({
      name: tool.name,
      description: tool.description,
      parameters: tool.parameters ?? { type: 'object', properties: {} },
      strict: dialect === 'openai' ? tool.strict : undefined,
    }),
  };
}

function toolChoice(choice: CreateResponseBody['tool_choice'], dialect: Dialect): unknown {
  if (!isObject(choice)) return choice;
  if (choice.type === 'function') return { type: 'function', function: { name: choice.name } };
  if (dialect === 'generic') return choice.mode;
  const tools = choice.tools.map((tool) => ({ type: 'function', function: { name: tool.name } }));
  return { type: 'allowed_tools', allowed_tools: { mode: choice.mode, tools } };
}

function isObject(choice: CreateResponseBody['tool_choice']): choice is Exclude<ToolChoice, string> {
  return typeof choice === 'object' && choice !== null;
}
