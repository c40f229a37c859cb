import { ServerGone } from './clients.ts';

/** Counts what happened, and tells who waits for it. */
export class Milestones {
  readonly #counts = new Map<string, number>();
  readonly #waiting = new Map<string, () => void>();

  mark(name: string): void {
    count(this.#counts, name);
    this.#waiting.get(`${name} ${this.#counts.get(name)}`)?.();
  }

  reached(name: string, times: number): Promise<void> {
    if ((this.#counts.get(name) ?? 0) >= times) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.set(`${name} ${times}`, resolve));
  }
}

export function count(counts: Map<string, number>, name: string, by = 1): void {
  counts.set(name, (counts.get(name) ?? 0) + by);
}

/** What goes on beside a client's stream. A server that goes away ends it and is no failure. */
export class Tasks {
  readonly #outcomes: Promise<unknown>[] = [];

  start(task: Promise<void>): void {
    this.#outcomes.push(task.catch((error: unknown) => error));
  }

  /** All of them, also when one fails; then that one's failure. */
  async settled(): Promise<void> {
    for (const error of await Promise.all(this.#outcomes)) {
      if (error !== undefined && !(error instanceof ServerGone)) throw error;
    }
  }
}
