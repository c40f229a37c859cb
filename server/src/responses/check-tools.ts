import { apiError } from '../domain/errors.ts';
import { callableTools, toolFinder } from '../domain/tools.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';

/** What chat servers take for a name; a namespace and its tool are one name to them. */
const NAME_CHARACTERS = 64;

/** Every tool has a name of its own, also when a namespace becomes a part of it. */
export function checkToolNames(body: CreateResponseBody): void {
  const names = new Set<string>();
  for (const { flatName, path } of callableTools(body.tools)) {
    const param = `${path}.name`;
    if (names.has(flatName)) throw apiError('invalid_value', { param, reason: `repeats the name ${flatName}` });
    names.add(flatName);
    if (flatName.length > NAME_CHARACTERS) {
      throw apiError('invalid_value', {
        param,
        reason: `is longer than ${NAME_CHARACTERS} characters together with its namespace: ${flatName}`,
      });
    }
  }
}

/** @param body what is served: a choice of a tool that was left out can't be honoured by any model */
export function checkToolChoice({ tools, tool_choice: choice }: CreateResponseBody): void {
  if (choice === null || choice === undefined) return;
  const callable = callableTools(tools);
  const wanted = typeof choice === 'string' ? [] : choice.type === 'allowed_tools' ? choice.tools : [choice];
  const find = toolFinder(callable);
  for (const reference of wanted) {
    if (find(reference) === undefined) {
      throw apiError('invalid_value', {
        param: 'tool_choice',
        reason: `names ${reference.name ?? `a ${reference.type} without a name`}, which is not among the tools`,
      });
    }
  }
  const allowed = typeof choice === 'object' && choice.type === 'allowed_tools' ? wanted.length : callable.length;
  const required =
    choice === 'required' || (typeof choice === 'object' && 'mode' in choice && choice.mode === 'required');
  if (required && allowed === 0) {
    throw apiError('invalid_value', { param: 'tool_choice', reason: 'requires a tool, and there is none' });
  }
}
