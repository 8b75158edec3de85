/** The open connections of both ports: who may have one, and when the last is over. */
import type { Server, Socket } from "node:net";
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
  /** Of TCP, each counted from the moment it is accepted: one that never ends its handshake takes a file, too. */
  readonly #sockets = new Set<Socket>();
  /** What is spoken over TLS on some of them. */
  readonly #secure = new Set<TLSSocket>();

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#most = connectionCap(options.most, undefined, options.reservedFiles);
  }

  get size(): number {
    return this.#sockets.size;
  }

  /**
   * Has a server that listens hear of connections only as long as there are not too many.
   *
   * @param goOn with a connection. Default: who listened so far, with a handshake or the first bytes.
   */
  guard(server: Server, goOn: (socket: Socket) => void = takeListeners(server)): void {
    server.on("connection", (socket: Socket) => {
      if (this.#track(socket)) goOn(socket);
    });
  }

  /** False: there are as many connections as the process can carry, and this one is over. */
  #track(socket: Socket): boolean {
    if (this.#sockets.size >= this.#most) {
      this.#options.shed();
      socket.destroy();
      return false;
    }
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    // Over TLS answers wait in the socket that is made of this one.
    if (this.#options.tls === undefined) this.#watch(socket);
    return true;
  }

  /** After the handshake. False: the client's certificate is not good, and the connection is over. */
  admit(socket: TLSSocket): boolean {
    this.#secure.add(socket);
    socket.once("close", () => this.#secure.delete(socket));
    this.#watch(socket);
    socket.on("error", swallow);
    if (this.#options.tls?.accepts(socket) !== false) return true;
    socket.destroy();
    return false;
  }

  #watch(socket: Socket): void {
    socket.once("close", this.#options.stalled.watch(socket));
  }

  destroyAll(): void {
    for (const socket of this.#secure) socket.destroy();
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

function takeListeners(server: Server): (socket: Socket) => void {
  const listeners = server.listeners("connection") as ((this: Server, socket: Socket) => void)[];
  server.removeAllListeners("connection");
  return (socket) => {
    for (const listener of listeners) listener.call(server, socket);
  };
}

/** A reset connection has nobody left to tell. */
export function swallow(): void {}
