/** What a client has sent of a stream and the handler has not taken yet. */
import type { Payload } from "#rpc/payload.ts";

export class MessageQueue implements AsyncIterable<Payload> {
  readonly #messages: Payload[] = [];
  readonly #taken: () => void;
  #wake: (() => void) | undefined;
  #ended = false;
  #error: Error | undefined;

  /** @param taken runs for every message that the handler takes. */
  constructor(taken: () => void) {
    this.#taken = taken;
  }

  get length(): number {
    return this.#messages.length;
  }

  get ended(): boolean {
    return this.#ended;
  }

  push(message: Payload): void {
    this.#messages.push(message);
    this.#rouse();
  }

  end(): void {
    this.#ended = true;
    this.#rouse();
  }

  fail(error: Error): void {
    this.#error ??= error;
    this.#rouse();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Payload> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      const message = this.#messages.shift();
      if (message !== undefined) {
        this.#taken();
        yield message;
      } else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  #rouse(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
