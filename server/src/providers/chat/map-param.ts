/** Chat Completions paths and what a client of the Responses API calls the same thing; the longest prefix wins. */
const PREFIXES: readonly (readonly [RegExp, string | undefined])[] = [
  [/^messages\b.*/s, 'input'],
  [/^max_(completion_)?tokens\b.*/s, 'max_output_tokens'],
  [/^response_format\.json_schema\b/, 'text.format'],
  [/^response_format\b/, 'text.format'],
  [/^reasoning_effort\b/, 'reasoning.effort'],
  [/^verbosity\b/, 'text.verbosity'],
  [/^tools(\[\d+\])\.function\b/, 'tools$1'],
  [/^tools\.(\d+)\.function\b/, 'tools[$1]'],
  [/^tool_choice\.function\b/, 'tool_choice'],
  // Sent by this server on its own account: a client can do nothing about them.
  [/^(stream|stream_options|logprobs)\b.*/s, undefined],
];

/** The client's name for the field an upstream complains about, or undefined when it never sent one. */
export function mapParam(path: string): string | undefined {
  for (const [prefix, replacement] of PREFIXES) {
    if (prefix.test(path)) return replacement === undefined ? undefined : path.replace(prefix, replacement);
  }
  return path;
}
