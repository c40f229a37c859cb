/** Growing and reading the little-endian base-128 integers and UTF-8 strings of the chunk codec. */

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  constructor(size = 256) {
    this.#bytes = new Uint8Array(size);
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  /** A non-negative integer below 2^53. */
  integer(value: number): void {
    this.#room(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** Length in bytes, then UTF-8. The text must be well-formed. */
  text(value: string): void {
    // Three bytes are the most that a UTF-16 code unit takes, nine the most that the length takes.
    this.#room(value.length * 3 + 9);
    const start = this.#length;
    if (value.length < 43) {
      // A length below 128 is one byte whatever the characters: no second pass.
      const { written } = encoder.encodeInto(value, this.#bytes.subarray(start + 1));
      this.#bytes[start] = written;
      this.#length = start + 1 + written;
      return;
    }
    const encoded = encoder.encode(value);
    this.integer(encoded.length);
    this.raw(encoded);
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A copy of its own, as long as what was written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** Throws RangeError at a body that ends early. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.position >= this.#bytes.length;
  }

  byte(): number {
    const value = this.#bytes[this.position];
    if (value === undefined) throw new RangeError('the chunk ends early');
    this.position += 1;
    return value;
  }

  integer(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  text(): string {
    return decoder.decode(this.raw(this.integer()));
  }

  raw(length: number): Uint8Array {
    if (this.position + length > this.#bytes.length) throw new RangeError('the chunk ends early');
    const bytes = this.#bytes.subarray(this.position, this.position + length);
    this.position += length;
    return bytes;
  }

  from(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.position);
  }
}
