/**
 * Bytes that are written one after the other into memory that grows, and is used again.
 *
 * Nothing is allocated while there is room: a writer that fills one sink after the other allocates once for what leaves, not once for every step.
 * Not for two at a time: what is written between two `take`s is one piece.
 */

/** What a sink holds at first, and keeps between two pieces: enough for dozens of messages of 1 KiB. */
const keptBytes = 64 * 1024;
const nothing = Buffer.alloc(0);
const noView = new DataView(new ArrayBuffer(0));

export class ByteSink {
  /** What is written so far is in front of `at`. Replaced when it grows: hold on to `at`, never to this. */
  bytes: Buffer = nothing;
  /** Of the same memory. */
  view: DataView = noView;
  /** Where the next byte goes. */
  at = 0;

  /** Makes room for so many bytes more. */
  room(size: number): void {
    const needed = this.at + size;
    if (needed > this.bytes.length) this.#grow(needed);
  }

  /** As many bytes as there is room for without growing. */
  get left(): number {
    return this.bytes.length - this.at;
  }

  /** An unsigned integer of 32 bits in groups of seven, the lowest first; takes up to five bytes of the room that is there. */
  varint(value: number): void {
    const { bytes } = this;
    let rest = value;
    let { at } = this;
    while (rest > 127) {
      bytes[at] = (rest & 127) | 128;
      at += 1;
      rest >>>= 7;
    }
    bytes[at] = rest;
    this.at = at + 1;
  }

  /** Makes room itself. */
  set(chunk: Uint8Array): void {
    this.room(chunk.length);
    this.bytes.set(chunk, this.at);
    this.at += chunk.length;
  }

  /** UTF-8, half of a surrogate pair as U+FFFD. Makes room itself. */
  text(text: string): void {
    this.roomForText(text);
    this.at += this.bytes.write(text, this.at);
  }

  /** Room for a text and its length in front. A letter takes three bytes at most; where that is too much, they are counted. */
  roomForText(text: string): void {
    const most = text.length * 3 + 5;
    if (most > this.left) this.room(text.length < 1024 ? most : Buffer.byteLength(text) + 5);
  }

  /**
   * What was written since the last time; the sink is empty then. A copy, for the memory is used again, unless most of it is what is taken.
   */
  take(): Buffer {
    const { bytes, at } = this;
    this.at = 0;
    if (at * 2 < bytes.length) {
      const copy = Buffer.allocUnsafe(at);
      bytes.copy(copy, 0, 0, at);
      if (bytes.length > keptBytes) this.#use(nothing, noView);
      return copy;
    }
    this.#use(nothing, noView);
    return bytes.subarray(0, at);
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(keptBytes, needed, this.bytes.length * 2));
    this.bytes.copy(larger, 0, 0, this.at);
    this.#use(larger, new DataView(larger.buffer));
  }

  #use(bytes: Buffer, view: DataView): void {
    this.bytes = bytes;
    this.view = view;
  }
}
