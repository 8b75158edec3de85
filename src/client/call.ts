/** One call on a connection: messages out as the server takes them, messages in as the program takes them. */
import { CallError, ownError, type Status } from "./errors.ts";

export interface CallOptions {
  /** Request metadata; names ending in `-bin` carry base64. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** How long the call may take, in milliseconds. Default: as long as the server's methods may. */
  readonly timeoutMs?: number;
  /** Ends the call when it fires. */
  readonly signal?: AbortSignal;
  /** Messages that may wait here to be taken; the server makes no more. Default 64. */
  readonly window?: number;
}

/** A frame of the server's, of this call. */
export interface CallFrame {
  readonly id?: string;
  readonly headers?: { readonly entries?: Readonly<Record<string, string>> };
  readonly message?: unknown;
  readonly end?: { readonly status?: Status; readonly trailers?: Readonly<Record<string, string>> };
  readonly credit?: number;
}

/** What a call says to its connection. */
export interface CallPort {
  send(frame: object): void;
  over(): void;
}

/** Messages that the server takes before it has given any credit. */
const firstCredit = 16;

/** Iterate it for the answers; it throws a {@link CallError} where the call did not go well. */
export class Call<I = unknown, O = unknown> implements AsyncIterable<O> {
  /** Leading metadata of the answer; empty where there is none. Known when the first message, or the end, is there. */
  headers: Readonly<Record<string, string>> = {};
  /** Trailing metadata; known at the end. */
  trailers: Readonly<Record<string, string>> = {};
  readonly #method: string;
  readonly #options: CallOptions;
  readonly #window: number;
  readonly #received: O[] = [];
  readonly #wakers: (() => void)[] = [];
  #port: CallPort | undefined;
  #credit = firstCredit;
  #taken = 0;
  #failed: CallError | undefined;
  #over = false;
  readonly #onAbort = (): void => this.cancel();

  constructor(method: string, options: CallOptions) {
    this.#method = method;
    this.#options = options;
    this.#window = Math.max(1, options.window ?? 64);
    if (options.signal?.aborted === true) this.fail(canceled());
    else options.signal?.addEventListener("abort", this.#onAbort);
  }

  get over(): boolean {
    return this.#over;
  }

  /** @internal The connection is there. */
  begin(port: CallPort): void {
    if (this.#over) {
      port.over();
      return;
    }
    this.#port = port;
    const { metadata = {}, timeoutMs = 0 } = this.#options;
    port.send({ call: { method: this.#method, metadata, timeoutMs, credit: this.#window } });
    this.#wake();
  }

  /**
   * Resolves when it is on its way: a server that does not take more makes it wait.
   * @throws CallError where the call is over, or the message is none: then it is over too.
   */
  async send(message: I): Promise<void> {
    while (!this.#over && (this.#port === undefined || this.#credit === 0)) await this.#changed();
    if (this.#over) throw this.#failed ?? ownError("cancelled", "CALL_OVER", "the call is over");
    this.#credit -= 1;
    try {
      this.#port?.send({ message });
    } catch (thrown) {
      // Without it the server waits for a message, and who asked for the answer.
      this.#port?.send({ cancel: true });
      this.fail(ownError("invalid_argument", "MESSAGE_MALFORMED", `the message cannot be JSON: ${thrown}`));
      throw this.#failed;
    }
  }

  /** No more messages follow. The answer goes on. */
  async end(): Promise<void> {
    while (!this.#over && this.#port === undefined) await this.#changed();
    if (!this.#over) this.#port?.send({ end: true });
  }

  cancel(): void {
    if (this.#over) return;
    this.#port?.send({ cancel: true });
    this.fail(canceled());
  }

  /** @internal */
  hear(frame: CallFrame): void {
    if (frame.headers !== undefined) this.headers = frame.headers.entries ?? {};
    if (frame.credit !== undefined) this.#credit += frame.credit;
    if (frame.message !== undefined) this.#received.push(frame.message as O);
    if (frame.end !== undefined) {
      this.trailers = frame.end.trailers ?? {};
      const status = frame.end.status ?? {};
      this.#finish((status.code ?? 0) === 0 ? undefined : new CallError(status));
    }
    this.#wake();
  }

  /** @internal What the server said before is still there to be taken. */
  fail(error: CallError): void {
    this.#finish(error);
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<O, void, undefined> {
    try {
      for (;;) {
        const message = this.#received.shift();
        if (message !== undefined) {
          this.#giveCredit();
          yield message;
        } else if (this.#over) {
          if (this.#failed !== undefined) throw this.#failed;
          return;
        } else await this.#changed();
      }
    } finally {
      // Who stops listening has no use for the rest.
      this.cancel();
    }
  }

  /** The one message of an answer that has one. @throws CallError. */
  async only(): Promise<O> {
    for await (const message of this) {
      // The end comes with it, or right after it.
      while (!this.#over) await this.#changed();
      if (this.#failed !== undefined) throw this.#failed;
      return message;
    }
    throw ownError("internal", "MESSAGE_COUNT_INVALID", "the answer has no message");
  }

  #giveCredit(): void {
    this.#taken += 1;
    if (this.#over || this.#taken < this.#window / 2) return;
    this.#port?.send({ credit: this.#taken });
    this.#taken = 0;
  }

  #finish(error: CallError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#failed = error;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#port?.over();
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#wakers.push(resolve));
  }

  #wake(): void {
    for (const waker of this.#wakers.splice(0)) waker();
  }
}

function canceled(): CallError {
  return ownError("cancelled", "CALL_CANCELLED", "the call was cancelled here");
}
