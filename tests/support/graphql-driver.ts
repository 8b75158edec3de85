/** The echo service over GraphQL: one answer by POST, server-sent events, or graphql-transport-ws. */
import { WebSocket } from "ws";
import { codes } from "#rpc/code.ts";
import { Blocks, type ByteStream, openHttp, parseEvent } from "./byte-stream.ts";
import {
  type Driver,
  type DriverOptions,
  type End,
  endOfJson,
  type JsonStatus,
  type Kind,
  type OpenOptions,
  ok,
  pack,
  planHeader,
  type Running,
} from "./drivers.ts";
import { Inbox } from "./websocket-driver.ts";

interface Failure {
  readonly message: string;
  readonly extensions?: {
    readonly code?: string;
    readonly details?: JsonStatus["details"];
    readonly reason?: string;
  };
}

interface Result {
  readonly data?: Readonly<Record<string, { readonly text: string | null } | null>> | null;
  readonly errors?: readonly Failure[];
}

const fields: Readonly<Partial<Record<Kind, readonly [string, string]>>> = {
  unary: ["mutation", "unary"],
  server_stream: ["subscription", "serverStream"],
};

function queryOf(kind: Kind, text: string): object {
  const [type, field] = fields[kind] ?? [];
  return { query: `${type} ($text: String) { ${field}(text: $text) { text } }`, variables: { text } };
}

/** Undefined: no message. */
function textIn(result: Result): string | undefined {
  const [message] = Object.values(result.data ?? {});
  return message === null || message === undefined ? undefined : (message.text ?? "");
}

function endIn({ message, extensions }: Failure): End {
  const { code = "", details, reason } = extensions ?? {};
  const known = Object.values(codes).find(({ label }) => label === code);
  const end = endOfJson({ code: known?.number ?? 2, message, ...(details === undefined ? {} : { details }) });
  return { ...end, reason };
}

export interface GraphqlOptions extends DriverOptions {
  readonly http: 1 | 2;
  readonly events: boolean;
}

export function graphqlDriver(options: GraphqlOptions): Driver {
  const { events, compression } = options;
  const http = openHttp(options.port, options.http);
  return {
    close: () => http.close(),
    open: ({ kind, id, plan, timeoutMs }) => {
      const stream = http.open({
        method: "POST",
        path: "/graphql",
        headers: {
          "content-type": "application/json",
          accept: events ? "text/event-stream" : "application/json",
          "x-request-id": id,
          ...(compression === "identity" ? {} : { "content-encoding": compression }),
          ...(plan === undefined ? {} : { "echo-plan": planHeader(plan) }),
          ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
        },
      });
      return new GraphqlRunning(stream, (text) =>
        pack[compression](Buffer.from(JSON.stringify(queryOf(kind, text)))),
      );
    },
  };
}

class GraphqlRunning implements Running {
  accepted = 0;
  readonly #stream: ByteStream;
  readonly #write: (text: string) => Uint8Array;
  readonly #blocks: Blocks;
  #failure: Failure | undefined;
  #complete = false;

  constructor(stream: ByteStream, write: (text: string) => Uint8Array) {
    this.#stream = stream;
    this.#write = write;
    this.#blocks = new Blocks(stream);
  }

  send(text: string): void {
    this.#stream.write(this.#write(text), () => {
      this.accepted += 1;
    });
  }

  endSending(): void {
    this.#stream.end();
  }

  async next(): Promise<string | undefined> {
    const { headers } = await this.#stream.head;
    const isStream = String(headers["content-type"]).startsWith("text/event-stream");
    for (;;) {
      const text = isStream ? await this.#event() : await this.#blocks.rest();
      if (text === undefined || text === "") return undefined;
      const result = JSON.parse(text) as Result;
      this.#failure ??= result.errors?.[0];
      const found = textIn(result);
      if (found !== undefined) return found;
    }
  }

  async #event(): Promise<string | undefined> {
    for (;;) {
      const block = await this.#blocks.next("\n\n");
      if (block === undefined) return undefined;
      const found = parseEvent(block);
      if (found?.event === "complete") this.#complete = true;
      else if (found?.event === "next") return found.data;
    }
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    if (this.#failure !== undefined) return endIn(this.#failure);
    const { headers } = await this.#stream.head;
    const isStream = String(headers["content-type"]).startsWith("text/event-stream");
    return this.#stream.cut || (isStream && !this.#complete) ? { ...ok, code: 1, message: "cut" } : ok;
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

/** A socket for each call: its plan and its credential come with the upgrade. */
export function graphqlSocketDriver(options: { readonly port: number }): Driver {
  return { open: (call) => new GraphqlSocketRunning(options.port, call), close: () => {} };
}

interface SocketMessage {
  readonly type: string;
  readonly payload?: Result | readonly Failure[];
}

class GraphqlSocketRunning implements Running {
  accepted = 0;
  readonly #socket: WebSocket;
  readonly #kind: Kind;
  readonly #inbox = new Inbox<string>();
  readonly #acknowledged: Promise<void>;
  #ready = false;
  #end: End | undefined;

  constructor(port: number, { kind, id, plan, timeoutMs }: OpenOptions) {
    this.#kind = kind;
    this.#socket = new WebSocket(`ws://127.0.0.1:${port}/graphql`, "graphql-transport-ws", {
      headers: {
        // Operations on a socket have ids of their own.
        "echo-plan": planHeader({ ...plan, id }),
        ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
      },
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#acknowledged = promise;
    this.#socket.on("error", () => {});
    this.#socket.once("open", () => this.#socket.send(JSON.stringify({ type: "connection_init" })));
    this.#socket.on("message", (data: Buffer) => {
      const message = JSON.parse(data.toString()) as SocketMessage;
      if (message.type === "connection_ack") {
        this.#ready = true;
        resolve();
      } else this.#hear(message);
    });
    this.#socket.on("close", (code) => {
      // RFC 6455 section 7.4.1: a message too big to process.
      this.#end ??=
        code === 1009
          ? { code: 8, message: "", reason: "PAYLOAD_TOO_LARGE", details: [] }
          : { code: 1, message: `closed with ${code}`, reason: undefined, details: [] };
      this.#inbox.close();
    });
  }

  #hear({ type, payload }: SocketMessage): void {
    if (type === "next") {
      const result = payload as Result;
      const text = textIn(result);
      if (text !== undefined) this.#inbox.push(text);
      const [failure] = result.errors ?? [];
      if (failure !== undefined) this.#end ??= endIn(failure);
    } else {
      const [failure] = type === "error" ? (payload as readonly Failure[]) : [];
      this.#end ??= failure === undefined ? ok : endIn(failure);
      this.#inbox.close();
      this.#socket.terminate();
    }
  }

  send(text: string): void {
    const payload = queryOf(this.#kind, text);
    void this.#acknowledged.then(() =>
      this.#socket.send(JSON.stringify({ type: "subscribe", id: "1", payload }), () => {
        this.accepted += 1;
      }),
    );
  }

  endSending(): void {}

  async next(): Promise<string | undefined> {
    this.#socket.resume();
    const text = await this.#inbox.take();
    if (text !== undefined && this.#ready) this.#socket.pause();
    return text;
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    return this.#end ?? { ...ok, code: 1, message: "no end" };
  }

  cancel(): void {
    this.#socket.terminate();
  }
}
