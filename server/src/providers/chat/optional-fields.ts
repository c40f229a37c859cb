import type { JsonObject } from './json.ts';

/**
 * Fields that only help, and that some servers refuse. What a server has refused once is not sent to it again.
 */
export class OptionalFields {
  readonly #refused = new Set<string>();

  /** The body without what this upstream is known to refuse. */
  trim(body: JsonObject): JsonObject {
    return Object.fromEntries(Object.entries(body).filter(([key, value]) => !this.#isRefused(key, value)));
  }

  /** Whether the reply blames a field that `sent` can do without; then another try is worth it. */
  learn(status: number, reply: string, sent: JsonObject): boolean {
    if (status !== 400 && status !== 422) return false;
    const blamed = ['stream_options', 'parallel_tool_calls'].filter(
      (key) => key in sent && isOptional(key, sent[key]) && reply.includes(key),
    );
    for (const key of blamed) this.#refused.add(key);
    return blamed.length > 0;
  }

  #isRefused(key: string, value: unknown): boolean {
    return this.#refused.has(key) && isOptional(key, value);
  }
}

/** `parallel_tool_calls: false` is a promise to the client: who can't keep it has to say so. */
function isOptional(key: string, value: unknown): boolean {
  return key === 'stream_options' || value === true;
}
