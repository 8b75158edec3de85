/**
 * The way out of one socket: who writes waits until the client has taken what was written before.
 *
 * Messages of streams wait here before they are in anybody's buffer, those of all calls together. What ends a call cannot wait; where
 * such answers pile up, the client asks for more than it reads, and the socket is over.
 */
import type { WebSocket } from "ws";
import { clientGone } from "#rpc/call.ts";
import { closeCodes } from "./close-codes.ts";

export interface OutletOptions {
  /** What may wait for the client, in bytes; streams wait at a quarter of it. */
  readonly maxWaitingBytes: number;
  /** More waits than that, and the socket is being closed. */
  onLag?(): void;
}

interface Waiter {
  send(): void;
  fail(): void;
}

export class Outlet {
  readonly #socket: WebSocket;
  readonly #options: OutletOptions;
  readonly #streamBytes: number;
  /** Messages of streams, in the order in which they came. */
  #waiters: Waiter[] = [];

  constructor(socket: WebSocket, options: OutletOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#streamBytes = options.maxWaitingBytes / 4;
    socket.once("close", () => {
      const waiters = this.#waiters;
      this.#waiters = [];
      for (const waiter of waiters) waiter.fail();
    });
  }

  get open(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** For answers that are whole, ends, credit and notices. One that is larger than everything that may wait is sent where nothing much does. */
  now(data: string | Uint8Array): void {
    if (!this.open) return;
    const waiting = this.#socket.bufferedAmount;
    if (waiting <= this.#options.maxWaitingBytes) {
      this.#send(data, waiting + data.length);
      return;
    }
    this.#socket.close(closeCodes.lagging, "answers wait and are not read; read, or ask for less at once");
    this.#options.onLag?.();
  }

  /** A promise where the client has to take something first; rejects when it is gone. */
  write(data: string | Uint8Array): Promise<void> | undefined {
    if (!this.open) return Promise.reject(clientGone());
    const waiting = this.#socket.bufferedAmount;
    if (this.#waiters.length === 0 && waiting + data.length <= this.#streamBytes) {
      this.#socket.send(data);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(clientGone());
      const send = (): void =>
        this.#socket.send(data, (error) => {
          if (error) fail();
          else resolve();
          this.#wake();
        });
      if (this.#waiters.length === 0 && waiting <= this.#streamBytes) send();
      else this.#waiters.push({ send, fail });
    });
  }

  /** Whoever brings more than streams may have waiting tells them when it has gone. */
  #send(data: string | Uint8Array, waiting: number): void {
    if (waiting <= this.#streamBytes) this.#socket.send(data);
    else this.#socket.send(data, () => this.#wake());
  }

  #wake(): void {
    while (this.#waiters.length > 0 && this.open && this.#socket.bufferedAmount <= this.#streamBytes)
      this.#waiters.shift()?.send();
  }
}
