import type { EchoedCustomTool, EchoedFunctionTool, EchoedTool } from '../protocol/response.ts';
import { isServed } from './tools.ts';
import type { CustomTool, FunctionTool, Tool } from '../protocol/tools.ts';

/** Tools as a Response shows them, with the defaults that count. */
export function echoTools(tools: readonly Tool[]): EchoedTool[] {
  return tools.filter(isServed).map((tool): EchoedTool => {
    if (tool.type !== 'namespace') return echoTool(tool);
    const { type, name, description } = tool;
    return { type, name, description: description ?? '', tools: tool.tools.map(echoTool) };
  });
}

function echoTool(tool: FunctionTool | CustomTool): EchoedFunctionTool | EchoedCustomTool {
  const { name, description } = tool;
  if (tool.type === 'custom') {
    const described = description !== null && description !== undefined;
    return { type: 'custom', name, ...(described && { description }), format: tool.format ?? { type: 'text' } };
  }
  const { parameters, strict, output_schema } = tool;
  return {
    type: 'function',
    name,
    description: description ?? null,
    parameters: parameters ?? null,
    ...(output_schema !== null && output_schema !== undefined && { output_schema }),
    strict: strict ?? true,
  };
}
