import { parseJson } from './json.ts';

/** A piece of a tool call, with whatever of it this delta had. */
export type ToolCallDelta = {
  index: number | undefined;
  /** Said to be a call of a custom tool; then the arguments are its input. */
  custom: boolean;
  id: string | undefined;
  name: string | undefined;
  arguments: string | undefined;
};

type Call = ToolCallDelta & { key: string; arguments: string };

/**
 * Tells which call a delta belongs to, for servers that disagree on how to say it (upstream.md §2c.1-4). A key once
 * given stays with its call.
 */
export class ToolCallKeys {
  readonly #calls: Call[] = [];

  /** A call whose name never came: there is nothing a client could run. */
  get hasNameless(): boolean {
    return this.#calls.some((call) => call.name === undefined);
  }

  keyOf(delta: ToolCallDelta): string {
    const call = (delta.index === undefined ? this.#withoutIndex(delta) : this.#atIndex(delta)) ?? this.#open(delta);
    call.id ??= delta.id;
    call.name ??= delta.name;
    call.arguments += delta.arguments ?? '';
    return call.key;
  }

  #open(delta: ToolCallDelta): Call {
    const call: Call = {
      key: String(this.#calls.length),
      index: delta.index,
      custom: delta.custom,
      id: delta.id,
      name: delta.name,
      arguments: '',
    };
    this.#calls.push(call);
    return call;
  }

  #atIndex(delta: ToolCallDelta): Call | undefined {
    const latest = this.#calls.findLast((call) => call.index === delta.index);
    if (latest === undefined) return undefined;
    if (delta.id !== undefined && latest.id !== undefined) {
      if (delta.id === latest.id) return latest;
      return this.#calls.findLast((call) => call.index === delta.index && call.id === delta.id);
    }
    return beginsAnother(latest, delta) ? undefined : latest;
  }

  #withoutIndex(delta: ToolCallDelta): Call | undefined {
    const latest = this.#calls.at(-1);
    if (delta.id !== undefined) return this.#calls.findLast((call) => call.id === delta.id);
    if (delta.name === undefined || latest === undefined) return latest;
    const unfinished = latest.arguments !== '' && !isComplete(latest.arguments);
    return unfinished && latest.name === delta.name ? latest : undefined;
  }
}

/** Whether a delta at the index of `call` is the start of a parallel one. A repeated name alone is not. */
function beginsAnother(call: Call, delta: ToolCallDelta): boolean {
  if (delta.name === undefined || call.name === undefined) return false;
  const renamed = delta.name !== call.name;
  if (call.arguments === '') return renamed;
  return (renamed || delta.arguments !== undefined) && isComplete(call.arguments);
}

function isComplete(text: string): boolean {
  // Arguments are objects: the first look spares a parse of every prefix.
  return text.trimEnd().endsWith('}') && parseJson(text) !== undefined;
}
