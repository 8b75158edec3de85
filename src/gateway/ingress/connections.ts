/** The open connections of both ports: who may have one, and when the last is over. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { connectionCap } from "./connection-cap.ts";
import type { StalledSockets } from "./stalled.ts";
import type { Tls } from "./tls.ts";

export interface ConnectionOptions {
  /** One more is closed at once. Default: as `connectionCap` says, which keeps some files back from any number. */
  readonly most: number | undefined;
  /** Files that are kept back from any number. Default 32. */
  readonly reservedFiles?: number | undefined;
  readonly stalled: StalledSockets;
  readonly tls: Tls | undefined;
  /** Hears of each that was one too many. */
  shed(): void;
}

export class Connections {
  readonly #options: ConnectionOptions;
  readonly #most: number;
  readonly #sockets = new Set<Socket>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#most = connectionCap(options.most, undefined, options.reservedFiles);
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** False: there are as many connections as the process can carry, and this one is over. */
  track(socket: Socket): boolean {
    if (this.#sockets.size >= this.#most) {
      this.#options.shed();
      socket.destroy();
      return false;
    }
    this.#sockets.add(socket);
    const leave = this.#options.stalled.watch(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      leave();
    });
    return true;
  }

  /** The same over TLS. False: there are too many, or the client's certificate is not good, and the connection is over. */
  admit(socket: TLSSocket): boolean {
    if (!this.track(socket)) return false;
    socket.on("error", swallow);
    if (this.#options.tls?.accepts(socket) !== false) return true;
    socket.destroy();
    return false;
  }

  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** When there are none any more: node:http2's close does not wait for the sockets it was handed. */
  async lastClosed(): Promise<void> {
    while (this.#sockets.size > 0) {
      const [socket] = this.#sockets;
      await new Promise<void>((resolve) => socket?.once("close", () => resolve()));
    }
  }
}

/** A reset connection has nobody left to tell. */
export function swallow(): void {}
