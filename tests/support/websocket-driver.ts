/** The echo service over WebSockets: a socket for each call, one for all of them, or the method's own socket at its REST path. */
import { fromBinary, fromJson, type JsonValue, type Message, toBinary, toJson } from "@bufbuild/protobuf";
import { WebSocket } from "ws";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import {
  type ClientFrame,
  ClientFrameSchema,
  type ServerFrame,
  ServerFrameSchema,
} from "#gen/portico/websocket/v1/websocket_pb.ts";
import {
  type Driver,
  type End,
  endOf as endOfBinary,
  endOfJson,
  type JsonStatus,
  type Kind,
  methods,
  type OpenOptions,
  planHeader,
  type Running,
} from "./drivers.ts";
import { decode, type EchoServer, encode } from "./echo.ts";
import { make } from "./echo-service.ts";

export interface WebSocketDriverOptions {
  readonly port: number;
  readonly json: boolean;
  /** All calls on one socket, held back by credit; otherwise a socket each, held back by not reading it. */
  readonly shared: boolean;
}

type Frame = Omit<ServerFrame, "message"> & { readonly message?: Uint8Array | string };

/** Nothing arrives unless somebody asks; what is there already is handed out first. */
export class Inbox<T> {
  readonly #items: T[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.();
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async take(): Promise<T | undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined || this.#closed) return item;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  get length(): number {
    return this.#items.length;
  }
}

const creditGiven = 4;

export function webSocketDriver(echo: EchoServer, options: WebSocketDriverOptions): Driver {
  const desc = echo.message("test.v1.Everything");
  const codec: Codec = options.json
    ? {
        frame: (frame, text) =>
          JSON.stringify({
            ...(frame as object),
            ...(text === undefined ? {} : { message: toJson(desc, make(desc, { text })) }),
          }),
        read: (data) => {
          const { message, ...rest } = JSON.parse(data.toString()) as { message?: JsonValue };
          return {
            ...frameFromJson(rest),
            ...(message === undefined ? {} : { message: textOf(fromJson(desc, message)) }),
          };
        },
      }
    : {
        frame: (frame, text) =>
          toBinary(
            ClientFrameSchema,
            make(ClientFrameSchema, {
              ...frame,
              ...(text === undefined ? {} : { message: encode(desc, make(desc, { text })) }),
            }) as ClientFrame,
          ),
        read: (data) => {
          const frame = fromBinary(ServerFrameSchema, data);
          return frame.message === undefined
            ? (frame as Frame)
            : { ...frame, message: textOf(decode(desc, frame.message)) };
        },
      };
  const shared = options.shared ? new Wire(options, codec) : undefined;
  return {
    open: (call) => new SocketRunning(shared ?? new Wire(options, codec), call, shared !== undefined),
    close: () => shared?.close(),
  };
}

function textOf(message: Message): string {
  return (message as unknown as { text: string }).text;
}

/** In JSON the end carries its code beside ProtoJSON's status. */
function frameFromJson(rest: object): Frame {
  const { end, ...others } = rest as { end?: { status: JsonValue } };
  const frame = fromJson(ServerFrameSchema, others as JsonValue) as Frame;
  return end === undefined ? frame : { ...frame, end: end as unknown as NonNullable<Frame["end"]> };
}

interface Codec {
  frame(frame: object, text: string | undefined): string | Uint8Array;
  read(data: Buffer): Frame;
}

/** One socket, and who on it waits for what. */
class Wire {
  readonly socket: WebSocket;
  readonly #codec: Codec;
  readonly #calls = new Map<string, (frame: Frame | undefined) => void>();
  closeCode: number | undefined;

  constructor(options: WebSocketDriverOptions, codec: Codec) {
    this.#codec = codec;
    this.socket = new WebSocket(`ws://127.0.0.1:${options.port}/ws`, [
      options.json ? "portico.v1+json" : "portico.v1+proto",
    ]);
    this.socket.on("error", () => {});
    this.socket.on("message", (data: Buffer) => {
      const frame = codec.read(data);
      this.#calls.get(frame.id)?.(frame);
    });
    this.socket.on("close", (code) => {
      this.closeCode = code;
      for (const call of this.#calls.values()) call(undefined);
    });
  }

  /** @param hear undefined: the socket is closed. */
  add(id: string, hear: (frame: Frame | undefined) => void): void {
    this.#calls.set(id, hear);
  }

  send(frame: object, text?: string): void {
    const data = this.#codec.frame(frame, text);
    if (this.socket.readyState === WebSocket.CONNECTING)
      this.socket.once("open", () => this.socket.send(data));
    else this.socket.send(data);
  }

  close(): void {
    this.socket.terminate();
  }
}

class SocketRunning implements Running {
  accepted = 0;
  readonly #wire: Wire;
  readonly #id: string;
  readonly #shared: boolean;
  readonly #unsent: string[] = [];
  readonly #inbox = new Inbox<string>();
  #ended = false;
  #credit: number;
  #end: End | undefined;

  constructor(wire: Wire, { kind, id, plan, timeoutMs }: OpenOptions, shared: boolean) {
    this.#wire = wire;
    this.#id = id;
    this.#shared = shared;
    this.#credit = kind === "client_stream" || kind === "bidi_stream" ? 16 : Number.POSITIVE_INFINITY;
    wire.add(id, (frame) => this.#hear(frame));
    wire.send({
      id,
      call: {
        method: `test.v1.Echo/${methods[kind]}`,
        metadata: { "x-request-id": id, "echo-plan": planHeader(plan ?? {}) },
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(shared ? { credit: creditGiven } : {}),
      },
    });
  }

  send(text: string): void {
    this.#unsent.push(text);
    this.#flush();
  }

  endSending(): void {
    this.#ended = true;
    this.#flush();
  }

  async next(): Promise<string | undefined> {
    if (!this.#shared) this.#wire.socket.resume();
    const text = await this.#inbox.take();
    if (this.#shared && text !== undefined && this.#end === undefined)
      this.#wire.send({ id: this.#id, credit: 1 });
    // Not before there is something to pause: the handshake needs the socket too.
    if (!this.#shared && text !== undefined) this.#wire.socket.pause();
    return text;
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    return this.#end ?? { code: 1, message: "cut", reason: undefined, details: [] };
  }

  cancel(): void {
    if (this.#shared) this.#wire.send({ id: this.#id, cancel: true });
    else this.#wire.close();
  }

  #flush(): void {
    for (; this.#unsent.length > 0 && this.#credit > 0; this.#credit -= 1) {
      this.accepted += 1;
      this.#wire.send({ id: this.#id }, this.#unsent.shift());
    }
    if (!this.#ended || this.#unsent.length > 0) return;
    this.#ended = false;
    this.#wire.send({ id: this.#id, end: true });
  }

  #hear(frame: Frame | undefined): void {
    if (frame === undefined) {
      // RFC 6455 section 7.4.1: a message too big to process. The whole socket goes, so no call can be told.
      this.#end ??=
        this.#wire.closeCode === 1009
          ? { code: 8, message: "", reason: "PAYLOAD_TOO_LARGE", details: [] }
          : { code: 1, message: `closed with ${this.#wire.closeCode}`, reason: undefined, details: [] };
      this.#inbox.close();
      return;
    }
    if (frame.credit > 0) {
      this.#credit += frame.credit;
      this.#flush();
    }
    if (frame.message !== undefined) this.#inbox.push(frame.message as string);
    if (frame.end === undefined) return;
    this.#end = endOf(frame.end.status);
    this.#inbox.close();
    if (!this.#shared) this.#wire.close();
  }
}

function endOf(status: unknown): End {
  const json = status as JsonStatus;
  if (json.code === 0 || (json.details?.length ?? 0) === 0 || "@type" in json.details![0]!)
    return endOfJson(json);
  const bytes = toBinary(StatusSchema, make(StatusSchema, status as Record<string, unknown>) as never);
  return endOfBinary(json.code, json.message, bytes);
}

const paths: Readonly<Record<Kind, string>> = {
  unary: "/v1/echo",
  server_stream: "/v1/stream",
  client_stream: "/test.v1.Echo/ClientStream",
  bidi_stream: "/test.v1.Echo/BidiStream",
};

/** Plain JSON messages on a socket of the method's own. */
export function singleSocketDriver(options: { readonly port: number }): Driver {
  return {
    open: (call) => new SingleRunning(options.port, call),
    close: () => {},
  };
}

class SingleRunning implements Running {
  accepted = 0;
  readonly #port: number;
  readonly #options: OpenOptions;
  readonly #inbox = new Inbox<string>();
  readonly #kind: Kind;
  #socket!: WebSocket;
  #opened!: Promise<void>;
  #end: End = { code: 0, message: "", reason: undefined, details: [] };

  constructor(port: number, options: OpenOptions) {
    this.#port = port;
    this.#options = options;
    this.#kind = options.kind;
    // Its request is the URL, which is known when it is sent.
    if (options.kind !== "server_stream") this.#open(paths[options.kind]);
  }

  #open(path: string): void {
    const { id, plan, timeoutMs } = this.#options;
    this.#socket = new WebSocket(`ws://127.0.0.1:${this.#port}${path}`, {
      headers: {
        "x-request-id": id,
        "echo-plan": planHeader(plan ?? {}),
        ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
      },
    });
    this.#opened = new Promise((resolve) => this.#socket.once("open", () => resolve()));
    this.#socket.on("error", () => {});
    this.#socket.on("message", (data: Buffer) => {
      const value = JSON.parse(data.toString()) as { text?: string; error?: JsonStatus };
      if (value.error === undefined) this.#inbox.push(value.text ?? "");
      else this.#end = endOf(value.error);
    });
    this.#socket.on("close", (code) => {
      if (code === 1009) this.#end = { ...this.#end, code: 8, reason: "PAYLOAD_TOO_LARGE" };
      else if (code !== 1000 && code !== 4000 + this.#end.code)
        this.#end = { ...this.#end, code: 1, message: `closed with ${code}` };
      this.#inbox.close();
    });
  }

  send(text: string): void {
    if (this.#kind === "server_stream") {
      this.#open(`${paths.server_stream}?text=${encodeURIComponent(text)}`);
      return;
    }
    void this.#opened.then(() =>
      this.#socket.send(JSON.stringify({ text }), () => {
        this.accepted += 1;
      }),
    );
  }

  endSending(): void {
    if (this.#kind === "client_stream" || this.#kind === "bidi_stream")
      void this.#opened.then(() => this.#socket.send(""));
  }

  async next(): Promise<string | undefined> {
    this.#socket.resume();
    const text = await this.#inbox.take();
    if (text !== undefined) this.#socket.pause();
    return text;
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    return this.#end;
  }

  cancel(): void {
    this.#socket.terminate();
  }
}
