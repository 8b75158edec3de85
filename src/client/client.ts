/**
 * Calls methods of a Portico over one WebSocket, every kind of them: in browsers and in Node 22 or newer, without dependencies.
 *
 * @example
 * const portico = connect("https://api.example.org", { token: () => session.accessToken() });
 * const me = await portico.unary("portico.users.v1.UserService/GetUser", { name: "users/me" });
 * for await (const event of portico.follow("portico.events.v1.EventService/Subscribe", { topics: ["bpmn/*"] })) show(event);
 */
import { Call, type CallOptions } from "./call.ts";
import { CallError, ownError } from "./errors.ts";
import { Link, type SocketFactory } from "./link.ts";

export type { CallOptions } from "./call.ts";
export { Call } from "./call.ts";
export { CallError, type CodeName, type ErrorDetail } from "./errors.ts";
export type { SocketFactory, SocketLike } from "./link.ts";

export interface ClientOptions {
  /** An access token or an API key. A function is asked for each connection, and again when the token ends soon. Default: none. */
  readonly token?: string | (() => string | Promise<string>);
  /** Name and version of the program, for the server's logs. */
  readonly client?: string;
  /** How long a call waits for a connection, in milliseconds, before it fails as `unavailable`. Default 10 000. */
  readonly connectMs?: number;
  /** Makes the WebSocket. Default: the platform's. */
  readonly webSocket?: SocketFactory;
}

export interface FollowOptions extends CallOptions {
  /** The field of the request that takes the place to go on from. Default `after`. */
  readonly cursorField?: string;
  /** Where a message is. Default: its `cursor`. */
  cursorOf?(message: unknown): string | undefined;
}

export type State = "idle" | "connecting" | "open" | "closed";

/** First wait before another try, in milliseconds; it doubles up to the longest. A random part of it is waited. */
const backoffMs = { first: 250, longest: 20_000 };

/** @param url where Portico is: `https://…`, `http://…`, `wss://…` or `ws://…`; calls go to `/ws` below it. Connects with the first call. */
export function connect(url: string | URL, options: ClientOptions = {}): Client {
  return new Client(url, options);
}

export class Client {
  readonly #url: string;
  readonly #options: ClientOptions;
  readonly #waiting = new Set<Call>();
  #link: Link | undefined;
  #retired = new Set<Link>();
  #failures = 0;
  #refused = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(url: string | URL, options: ClientOptions) {
    const address = new URL(url);
    address.protocol = address.protocol.replace("http", "ws");
    address.pathname = `${address.pathname.replace(/\/$/, "")}/ws`;
    address.search = "";
    this.#url = address.href;
    this.#options = options;
  }

  get state(): State {
    if (this.#closed) return "closed";
    if (this.#link === undefined) return this.#retry === undefined ? "idle" : "connecting";
    return this.#link.usable ? "open" : "connecting";
  }

  /**
   * One request, one answer.
   * @param method `package.Service/Method`.
   * @param request in ProtoJSON: 64-bit integers are text.
   * @throws CallError.
   */
  unary<O = unknown, I = object>(method: string, request: I, options: CallOptions = {}): Promise<O> {
    return this.#withRequest<O, I>(method, request, options).only();
  }

  /** One request, many answers: iterate the call. */
  serverStream<O = unknown, I = object>(method: string, request: I, options: CallOptions = {}): Call<I, O> {
    return this.#withRequest<O, I>(method, request, options);
  }

  /** A call to send any number of messages on, with `send` and `end`. */
  call<O = unknown, I = object>(method: string, options: CallOptions = {}): Call<I, O> {
    const call = new Call<I, O>(method, options);
    this.#place(call as Call);
    return call;
  }

  /**
   * A server stream that comes again after a lost connection, and goes on after the last message that was taken.
   * @throws CallError for every other end than `unavailable`.
   */
  async *follow<O = unknown>(
    method: string,
    request: Readonly<Record<string, unknown>>,
    options: FollowOptions = {},
  ): AsyncGenerator<O, void, undefined> {
    const { cursorField = "after", cursorOf = cursorIn } = options;
    let from: string | undefined;
    for (let failures = 0; ; ) {
      const asked = from === undefined ? request : { ...request, [cursorField]: from };
      try {
        for await (const message of this.serverStream<O>(method, asked, options)) {
          failures = 0;
          yield message;
          from = cursorOf(message) ?? from;
        }
        return;
      } catch (thrown) {
        const again = thrown instanceof CallError && thrown.code === "unavailable" && !this.#closed;
        if (!again) throw thrown;
      }
      await new Promise((resolve) => setTimeout(resolve, jittered(failures)));
      failures += 1;
    }
  }

  /** Ends all calls. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const link of [...this.#retired, ...(this.#link === undefined ? [] : [this.#link])]) link.close();
    this.#failWaiting(closedError());
  }

  #withRequest<O, I>(method: string, request: I, options: CallOptions): Call<I, O> {
    const call = this.call<O, I>(method, options);
    // How it failed is heard by who takes the answer.
    call
      .send(request)
      .then(() => call.end())
      .catch(() => {});
    return call;
  }

  #place(call: Call): void {
    if (this.#closed) call.fail(closedError());
    else if (this.#link?.usable === true) this.#link.begin(call);
    else {
      this.#waiting.add(call);
      const late = setTimeout(() => {
        if (!this.#waiting.delete(call)) return;
        call.fail(ownError("unavailable", "CONNECTION_LOST", `no connection to ${this.#url} could be made`));
      }, this.#options.connectMs ?? 10_000);
      (late as { unref?: () => void }).unref?.();
      if (this.#link === undefined && this.#retry === undefined) this.#open();
    }
  }

  #open(): void {
    this.#retry = undefined;
    const link: Link = new Link({
      url: this.#url,
      open: this.#options.webSocket ?? platformSocket,
      client: this.#options.client ?? "",
      token: async () => {
        const { token = "" } = this.#options;
        return typeof token === "string" ? token : await token();
      },
      ready: () => {
        this.#failures = 0;
        this.#refused = 0;
        for (const call of this.#waiting) link.begin(call);
        this.#waiting.clear();
      },
      retired: () => {
        this.#retired.add(link);
        if (this.#link === link) this.#link = undefined;
      },
      closed: (error) => this.#onClosed(link, error),
    });
    this.#link = link;
  }

  #onClosed(link: Link, error: CallError): void {
    this.#retired.delete(link);
    if (this.#link !== link) return;
    this.#link = undefined;
    if (this.#waiting.size === 0 || this.#closed) return;
    // A token that ended on its way is worth one newer one.
    const renewable = typeof this.#options.token === "function" && error.code === "unauthenticated";
    if (renewable) this.#refused += 1;
    if (error.code !== "unavailable" && !(renewable && this.#refused < 2)) {
      this.#refused = 0;
      this.#failWaiting(error);
      return;
    }
    this.#retry = setTimeout(() => this.#open(), renewable ? 0 : jittered(this.#failures));
    this.#failures += 1;
  }

  #failWaiting(error: CallError): void {
    for (const call of this.#waiting) call.fail(error);
    this.#waiting.clear();
  }
}

function jittered(failures: number): number {
  return Math.random() * Math.min(backoffMs.longest, backoffMs.first * 2 ** Math.min(failures, 10));
}

function closedError(): CallError {
  return ownError("cancelled", "CLIENT_CLOSED", "the client was closed");
}

function cursorIn(message: unknown): string | undefined {
  const { cursor } = message as { readonly cursor?: unknown };
  return typeof cursor === "string" && cursor !== "" ? cursor : undefined;
}

function platformSocket(url: string, protocol: string): ReturnType<SocketFactory> {
  return new WebSocket(url, protocol);
}
