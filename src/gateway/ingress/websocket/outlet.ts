/** The way out of one socket: who writes waits until the client has taken what was written before. */
import type { WebSocket } from "ws";
import { clientGone } from "#rpc/call.ts";

/** Bytes that may wait for a slow client; more are not made. */
const maxWaitingBytes = 256 * 1024;

export class Outlet {
  readonly #socket: WebSocket;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  get open(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** For frames that are small and few: ends, credit, notices. */
  now(data: string | Uint8Array): void {
    if (this.open) this.#socket.send(data);
  }

  /** A promise where the client has to take something first; rejects when it is gone. */
  write(data: string | Uint8Array): Promise<void> | undefined {
    const socket = this.#socket;
    if (!this.open) return Promise.reject(clientGone());
    if (socket.bufferedAmount + data.length > maxWaitingBytes)
      return new Promise((resolve, reject) =>
        socket.send(data, (error) => (error ? reject(clientGone()) : resolve())),
      );
    socket.send(data);
    return undefined;
  }
}
