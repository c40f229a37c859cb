import { apiError } from '../../domain/errors.ts';
import { callableTools } from '../../domain/tools.ts';
import { draftTool } from '../../domain/unserved.ts';
import type { Unserved } from '../../domain/unserved.ts';
import type { CreateResponseBody } from '../../protocol/create-response.ts';
import type { Dialect } from './dialect.ts';

/** What Chat Completions has no place for, though a model can answer without it (upstream.md §1a). */
export function unservedBy(dialect: Dialect, request: CreateResponseBody): Unserved[] {
  return dialect === 'openai' ? unservedByOpenai(request) : unservedByGeneric(request);
}

/** OpenAI's Chat Completions takes no thoughts back, so none of an earlier turn either. */
function unservedByOpenai({ reasoning }: CreateResponseBody): Unserved[] {
  if (reasoning?.context !== 'all_turns') return [];
  return [
    {
      error: () =>
        apiError('unsupported_value', {
          param: 'reasoning.context',
          reason: "can't be 'all_turns': the upstream of this model takes no earlier reasoning",
        }),
      name: 'reasoning.context=all_turns',
      leaveOut: (draft) => {
        if (draft.reasoning) draft.reasoning.context = null;
      },
    },
  ];
}

function unservedByGeneric(request: CreateResponseBody): Unserved[] {
  return [...unservedVerbosity(request), ...unservedGrammars(request)];
}

function unservedVerbosity({ text }: CreateResponseBody): Unserved[] {
  const verbosity = text?.verbosity ?? 'medium';
  if (verbosity === 'medium') return [];
  return [
    {
      error: () =>
        apiError('unsupported_value', {
          param: 'text.verbosity',
          reason: `can't be '${verbosity}': the upstream of this model knows no verbosity`,
        }),
      name: `text.verbosity=${verbosity}`,
      leaveOut: (draft) => {
        if (draft.text) draft.text.verbosity = null;
      },
    },
  ];
}

/** Nothing enforces a grammar there. A lenient model is told it in words. */
function unservedGrammars({ tools }: CreateResponseBody): Unserved[] {
  return callableTools(tools).flatMap(({ tool, path, place }): Unserved[] => {
    if (tool.type !== 'custom' || tool.format?.type !== 'grammar') return [];
    const { syntax, definition } = tool.format;
    const leaveOut: Unserved['leaveOut'] = (draft) => {
      const changed = draftTool(draft, place);
      if (changed?.type !== 'custom') return;
      const words = `The input must match this ${syntax} grammar:\n${definition}`;
      changed.description = changed.description ? `${changed.description}\n\n${words}` : words;
      changed.format = { type: 'text' };
    };
    const error = () =>
      apiError('unsupported_value', {
        param: `${path}.format`,
        reason: "can't be a grammar: the upstream of this model enforces none",
      });
    return [{ error, name: `${path}.format=grammar`, leaveOut }];
  });
}
