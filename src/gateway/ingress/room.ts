/** The wait of who writes for a client that has to take something first. */
import type { Writable } from "node:stream";
import { clientGone } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";

/** Of one answer. However many pieces wait, they wait together: the stream has one pair of listeners. */
export class Room {
  #promise: Promise<void> | undefined;
  #fail: ((error: RpcError) => void) | undefined;

  /** Resolves when more may be written, rejects when the client is gone or reads nothing. */
  wait(stream: Writable): Promise<void> {
    this.#promise ??= new Promise((resolve, reject) => {
      const settle = (): void => {
        stream.removeListener("drain", onDrain);
        stream.removeListener("close", onClose);
        this.#promise = undefined;
        this.#fail = undefined;
      };
      const onDrain = (): void => {
        settle();
        resolve();
      };
      const onClose = (): void => this.#fail?.(clientGone());
      this.#fail = (error) => {
        settle();
        reject(error);
      };
      stream.once("drain", onDrain);
      stream.once("close", onClose);
    });
    return this.#promise;
  }

  /** Whoever waits is told why there will be no room. */
  fail(error: RpcError): void {
    this.#fail?.(error);
  }
}
