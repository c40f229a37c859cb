/**
 * Lets a few at a time through, in the order in which they came. Reading a page of a log costs some ms of the event loop
 * and, while it is decoded, some MB: when a thousand readers want one at once, others must get their turn in between.
 */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(count: number) {
    this.#free = count;
  }

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) {
      this.#free -= 1;
    } else {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else setImmediate(next);
    }
  }
}
