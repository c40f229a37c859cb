import { apiError } from '../domain/errors.ts';
import type { ModelBinding } from '../domain/ports.ts';
import { callableTools, isServed } from '../domain/tools.ts';
import { draftTool } from '../domain/unserved.ts';
import type { Draft, Unserved } from '../domain/unserved.ts';
import type { CreateResponseBody } from '../protocol/create-response.ts';
import { checkToolChoice } from './check-tools.ts';

/** The request that a model is going to answer, and what of the client's was left out of it. */
export type Served = { body: CreateResponseBody; dropped: string[] };

/** What isn't served is refused by name, or left out by name if the model is lenient. */
export function serveRequest(body: CreateResponseBody, { provider, compat }: ModelBinding): Served {
  const unserved = [...unservedFields(body), ...unservedTools(body), ...provider.unserved(body)];
  const [first] = unserved;
  if (first !== undefined && compat === 'strict') throw first.error();
  const served = first === undefined ? body : leaveOut(body, unserved);
  checkToolChoice(served);
  return { body: served, dropped: unserved.map(({ name }) => name) };
}

function leaveOut({ tools, tool_choice, text, reasoning, ...rest }: CreateResponseBody, unserved: readonly Unserved[]) {
  // Copies of what is changed; the input may be large, and is not.
  const draft: Draft = { ...rest, ...structuredClone({ tools: tools ?? [], tool_choice, text, reasoning }) };
  for (const one of unserved) one.leaveOut(draft);
  return { ...draft, tools: draft.tools.filter((tool) => tool !== null) };
}

const FIELDS = ['moderation', 'image', 'access_programs'] as const;

function unservedFields(body: CreateResponseBody): Unserved[] {
  return FIELDS.filter((field) => body[field] !== null && body[field] !== undefined).map((field) => ({
    error: () => apiError('unsupported_parameter', { param: field, reason: 'is not served' }),
    name: field,
    leaveOut: (draft) => {
      draft[field] = null;
    },
  }));
}

function unservedTools(body: CreateResponseBody): Unserved[] {
  const types = (body.tools ?? []).flatMap((tool, index): Unserved[] => {
    if (isServed(tool)) return [];
    const leaveOut = (draft: Draft): void => {
      draft.tools[index] = null;
    };
    return [{ ...unservedType(`tools[${index}].type`, tool.type), leaveOut }];
  });
  return [...types, ...callableTools(body.tools).flatMap(unservedCalling), ...unservedChoices(body)];
}

/** Loading and calling by other means than the model's own: there are none here. */
function unservedCalling({ tool, path, place }: ReturnType<typeof callableTools>[number]): Unserved[] {
  const unserved: Unserved[] = [];
  const add = (key: 'defer_loading' | 'allowed_callers', value: string, reason: string): void => {
    const param = `${path}.${key}`;
    unserved.push({
      error: () => apiError('unsupported_value', { param, reason }),
      name: `${param}=${value}`,
      leaveOut: (draft) => {
        const changed = draftTool(draft, place);
        if (changed !== undefined) changed[key] = null;
      },
    });
  };
  if (tool.defer_loading === true) add('defer_loading', 'true', "can't be true: this server has no tool search");
  const callers = tool.allowed_callers ?? ['direct'];
  if (!callers.includes('direct')) {
    add('allowed_callers', callers.join(' '), "must include 'direct': this server calls no tools by programs");
  }
  return unserved;
}

/** Tools that are allowed but don't exist here. The first of them takes all of them out. */
function unservedChoices({ tool_choice: choice }: CreateResponseBody): Unserved[] {
  if (typeof choice !== 'object' || choice === null || choice.type !== 'allowed_tools') return [];
  return choice.tools
    .map(({ type }, index) => ({ type, index }))
    .filter(({ type }) => !isCallableType(type))
    .map(({ type, index }, place) => ({
      ...unservedType(`tool_choice.tools[${index}].type`, type),
      leaveOut: ({ tool_choice: draft }) => {
        if (place > 0 || typeof draft !== 'object' || draft?.type !== 'allowed_tools') return;
        draft.tools = draft.tools.filter((tool) => isCallableType(tool.type));
      },
    }));
}

function isCallableType(type: string): boolean {
  return type === 'function' || type === 'custom';
}

function unservedType(param: string, type: string): Pick<Unserved, 'error' | 'name'> {
  return {
    error: () =>
      apiError('unsupported_value', {
        param,
        reason: `does not support '${type.slice(0, 64)}' on this server`,
      }),
    name: `${param}=${type}`,
  };
}
