/** One WebSocket, from its handshake to its end, and the calls on it. */
import type { Call, CallFrame } from "./call.ts";
import { type CallError, ownError } from "./errors.ts";

/** What this client needs of a WebSocket: the browser's, Node's, or one that you bring. */
export interface SocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: "open" | "error", listener: () => void): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(
    type: "close",
    listener: (event: { readonly code: number; readonly reason: string }) => void,
  ): void;
}

export type SocketFactory = (url: string, protocol: string) => SocketLike;

interface ServerFrame extends CallFrame {
  readonly ready?: { readonly heartbeatSeconds?: number };
  readonly notice?: { readonly kind: string; readonly message: string };
}

export interface LinkOptions {
  readonly url: string;
  readonly open: SocketFactory;
  readonly client: string;
  /** Empty: none is shown. */
  token(): Promise<string>;
  /** Ready for calls. */
  ready(): void;
  /** Takes no new calls any more; the running ones go on. */
  retired(): void;
  closed(error: CallError): void;
}

const protocol = "portico.v1+json";
/** A connection that does not answer for so long is gone, in milliseconds. */
const answerMs = 10_000;

export class Link {
  readonly #options: LinkOptions;
  readonly #socket: SocketLike;
  readonly #calls = new Map<string, Call>();
  #ids = 0;
  #isReady = false;
  #retired = false;
  #closed = false;
  #heardAt = 0;
  #beat: ReturnType<typeof setInterval> | undefined;
  #late: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#socket = options.open(options.url, protocol);
    this.#expect();
    this.#socket.addEventListener("open", () => void this.#introduce());
    this.#socket.addEventListener("message", ({ data }) => this.#hear(JSON.parse(String(data))));
    this.#socket.addEventListener("error", () => {});
    this.#socket.addEventListener("close", ({ code, reason }) => this.#end(closeError(code, reason)));
  }

  get usable(): boolean {
    return this.#isReady && !this.#retired && !this.#closed;
  }

  begin(call: Call): void {
    this.#ids += 1;
    const id = String(this.#ids);
    this.#calls.set(id, call);
    call.begin({
      send: (frame) => this.#send({ id, ...frame }),
      over: () => {
        this.#calls.delete(id);
        if (this.#retired && this.#calls.size === 0) this.close();
      },
    });
  }

  close(): void {
    this.#socket.close(1000, "");
    this.#end(ownError("cancelled", "CLIENT_CLOSED", "the client was closed"));
  }

  /** Says who calls, and again when that ends soon. */
  async #introduce(): Promise<void> {
    try {
      this.#send({ init: { token: await this.#options.token(), client: this.#options.client } });
    } catch (thrown) {
      this.#socket.close(1000, "");
      this.#end(ownError("unauthenticated", "TOKEN_UNAVAILABLE", `no token could be had: ${thrown}`));
    }
  }

  #send(frame: object): void {
    if (!this.#closed && this.#socket.readyState === 1) this.#socket.send(JSON.stringify(frame, bigText));
  }

  #hear(frame: ServerFrame): void {
    this.#heardAt = Date.now();
    clearTimeout(this.#late);
    if (frame.id !== undefined) this.#calls.get(frame.id)?.hear(frame);
    else if (frame.ready !== undefined) this.#onReady(frame.ready.heartbeatSeconds ?? 15);
    else if (frame.notice?.kind === "token_expiring") void this.#introduce();
    else if (frame.notice?.kind === "draining") this.#retire();
  }

  #onReady(heartbeatSeconds: number): void {
    if (this.#isReady) return;
    this.#isReady = true;
    // A page is not told of pings: where nothing else comes either, it asks.
    const everyMs = heartbeatSeconds * 2000;
    this.#beat = setInterval(() => {
      if (this.#calls.size === 0 || Date.now() - this.#heardAt < everyMs) return;
      this.#expect();
      this.#send({ init: {} });
    }, everyMs);
    // Node: a timer alone must not keep a program alive.
    (this.#beat as { unref?: () => void }).unref?.();
    this.#options.ready();
  }

  #retire(): void {
    this.#retired = true;
    this.#options.retired();
    if (this.#calls.size === 0) this.close();
  }

  #expect(): void {
    clearTimeout(this.#late);
    this.#late = setTimeout(() => {
      this.#socket.close();
      this.#end(lost("the server does not answer"));
    }, answerMs);
    (this.#late as { unref?: () => void }).unref?.();
  }

  #end(error: CallError): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#beat);
    clearTimeout(this.#late);
    for (const call of [...this.#calls.values()]) call.fail(error);
    this.#calls.clear();
    this.#options.closed(error);
  }
}

/** ProtoJSON has integers of 64 bits as text. */
function bigText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

function lost(why: string): CallError {
  return ownError("unavailable", "CONNECTION_LOST", `the connection is lost: ${why}`);
}

/** The codes are listed in docs/guides/websocket.md. */
function closeError(code: number, reason: string): CallError {
  const said = reason === "" ? `close code ${code}` : `${reason} (close code ${code})`;
  if (code === 4401) return ownError("unauthenticated", "CREDENTIAL_INVALID", said);
  if (code === 4403) return ownError("permission_denied", "CONNECTION_FORBIDDEN", said);
  if (code === 1009) return ownError("resource_exhausted", "PAYLOAD_TOO_LARGE", said);
  if (code === 4429) return ownError("resource_exhausted", "SOCKETS_LIMITED", said);
  if (code >= 4400 && code < 4500) return ownError("internal", "PROTOCOL_ERROR", said);
  return lost(said);
}
