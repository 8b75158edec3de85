/** The HTTP/2 sessions of both ports: guarded from their first frame on, told to go, ended. */
import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import { sendNotice } from "./notice.ts";
import type { SessionGuard } from "./session-guard.ts";

export class Sessions {
  readonly #guard: SessionGuard;
  readonly #windowBytes: number;
  readonly #open = new Set<ServerHttp2Session>();
  /** In clear text; over TLS there are none. */
  readonly #socketOf = new WeakMap<ServerHttp2Session, Socket>();
  /** Those that begin now end at once. */
  #leaving = false;

  /** @param windowBytes of a whole connection. */
  constructor(guard: SessionGuard, windowBytes: number) {
    this.#guard = guard;
    this.#windowBytes = windowBytes;
  }

  add(
    session: ServerHttp2Session,
    { idleMs, socket }: { readonly idleMs: number; readonly socket: Socket | undefined },
  ): void {
    this.#open.add(session);
    if (socket !== undefined) this.#socketOf.set(session, socket);
    // Node's own window for a whole connection is that of one stream: uploads side by side would wait for each other.
    session.setLocalWindowSize(this.#windowBytes);
    this.#guard.watch(session, { idleMs, notice: () => sendNotice(session, socket) });
    session.on("error", () => session.destroy());
    session.on("close", () => this.#open.delete(session));
    if (this.#leaving) session.close();
  }

  /** Please go: streams that are on their way are served. */
  notice(): void {
    this.#leaving = true;
    for (const session of this.#open) sendNotice(session, this.#socketOf.get(session));
  }

  /** No new streams; running ones end. */
  close(): void {
    for (const session of this.#open) session.close();
  }

  destroyAll(): void {
    this.#leaving = true;
    for (const session of this.#open) session.destroy();
  }
}
