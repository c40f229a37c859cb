/**
 * The idempotency keys of sealed responses, in memory, since the database has only what they are sealed to. It may name
 * rows that a roll-back took away, and whoever asks compares with the row.
 */
export class SealedKeys {
  readonly #numbers = new Map<string, number>();
  readonly #names = new Map<number, string>();

  /** The row number of the response, if the row is as it was when the key was added. */
  find(projectId: string, key: string): number | undefined {
    return this.#numbers.get(nameOf(projectId, key));
  }

  add(no: number, projectId: string, key: string): void {
    this.forget(no);
    const name = nameOf(projectId, key);
    this.#numbers.set(name, no);
    this.#names.set(no, name);
  }

  forget(no: number): void {
    const name = this.#names.get(no);
    if (name === undefined) return;
    this.#names.delete(no);
    if (this.#numbers.get(name) === no) this.#numbers.delete(name);
  }
}

/** A key has no space. */
function nameOf(projectId: string, key: string): string {
  return `${key} ${projectId}`;
}
