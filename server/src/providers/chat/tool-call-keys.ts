import { JsonProgress } from '../../domain/json-progress.ts';

/** A piece of a tool call, with whatever of it this delta had. */
export type ToolCallDelta = {
  index: number | undefined;
  /** Said to be a call of a custom tool; then the arguments are its input. */
  custom: boolean;
  id: string | undefined;
  name: string | undefined;
  arguments: string | undefined;
};

type Call = ToolCallDelta & {
  key: string;
  arguments: string;
  progress: JsonProgress;
};

/**
 * Tells which call a delta belongs to, for servers that disagree on how to say it (upstream.md §2c.1-4). A key once
 * given stays with its call.
 */
export class ToolCallKeys {
  readonly #calls: Call[] = [];
  /** The latest call of each; there may be thousands. */
  readonly #byIndex = new Map<number, Call>();
  readonly #byId = new Map<string, Call>();
  readonly #byBoth = new Map<string, Call>();

  /** A call whose name never came: there is nothing a client could run. */
  get hasNameless(): boolean {
    return this.#calls.some((call) => call.name === undefined);
  }

  keyOf(delta: ToolCallDelta): string {
    const { index } = delta;
    const call = (index === undefined ? this.#withoutIndex(delta) : this.#atIndex(delta, index)) ?? this.#open(delta);
    if (call.id === undefined && delta.id !== undefined) this.#identify(call, delta.id);
    call.name ??= delta.name;
    if (delta.arguments !== undefined) {
      call.arguments += delta.arguments;
      call.progress.feed(delta.arguments);
    }
    return call.key;
  }

  #identify(call: Call, id: string): void {
    call.id = id;
    this.#byId.set(id, call);
    if (call.index !== undefined) this.#byBoth.set(`${call.index} ${id}`, call);
  }

  #open(delta: ToolCallDelta): Call {
    const call: Call = {
      key: String(this.#calls.length),
      index: delta.index,
      custom: delta.custom,
      id: undefined,
      name: delta.name,
      arguments: '',
      progress: new JsonProgress(),
    };
    this.#calls.push(call);
    if (call.index !== undefined) this.#byIndex.set(call.index, call);
    return call;
  }

  #atIndex(delta: ToolCallDelta, index: number): Call | undefined {
    const latest = this.#byIndex.get(index);
    if (latest === undefined) return undefined;
    if (delta.id !== undefined && latest.id !== undefined) {
      if (delta.id === latest.id) return latest;
      return this.#byBoth.get(`${index} ${delta.id}`);
    }
    return beginsAnother(latest, delta) ? undefined : latest;
  }

  #withoutIndex(delta: ToolCallDelta): Call | undefined {
    const latest = this.#calls.at(-1);
    if (delta.id !== undefined) return this.#byId.get(delta.id);
    if (delta.name === undefined || latest === undefined) return latest;
    const unfinished = latest.arguments !== '' && !isComplete(latest);
    return unfinished && latest.name === delta.name ? latest : undefined;
  }
}

/** Whether a delta at the index of `call` is the start of a parallel one. A repeated name alone is not. */
function beginsAnother(call: Call, delta: ToolCallDelta): boolean {
  if (delta.name === undefined || call.name === undefined) return false;
  const renamed = delta.name !== call.name;
  if (call.arguments === '') return renamed;
  return (renamed || delta.arguments !== undefined) && isComplete(call);
}

/** Arguments are objects. */
function isComplete({ arguments: text, progress }: Call): boolean {
  return progress.isObject && progress.isWhole(() => text);
}
