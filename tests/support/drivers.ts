/**
 * Clients of the echo service behind one interface, so that a test can be written once and run over every protocol: grpc-js,
 * gRPC by hand on node:http2, and REST over both HTTP versions.
 */
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { gunzipSync, gzipSync } from "node:zlib";
import { fromBinary, fromJson, toJson } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, Metadata, type StatusObject } from "@grpc/grpc-js";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import { type ByteStream, openHttp1, openHttp2 } from "./byte-stream.ts";
import { decode, type EchoServer, encode } from "./echo.ts";
import { make, type Plan } from "./echo-service.ts";

export type Kind = "unary" | "server_stream" | "client_stream" | "bidi_stream";

export const methods: Readonly<Record<Kind, string>> = {
  unary: "Unary",
  server_stream: "ServerStream",
  client_stream: "ClientStream",
  bidi_stream: "BidiStream",
};

export interface OpenOptions {
  readonly kind: Kind;
  readonly id: string;
  readonly plan?: Plan;
  readonly timeoutMs?: number;
}

export interface End {
  readonly code: number;
  readonly message: string;
  readonly reason: string | undefined;
  /** Short names of the details' types, `ErrorInfo` and `RequestInfo` included. */
  readonly details: readonly string[];
}

export interface Running {
  /** A message with this text. */
  send(text: string): void;
  endSending(): void;
  /** Messages that flow control has let go. */
  readonly accepted: number;
  /** The text of the next message, undefined after the last one. Nothing is read off the socket unless asked for. */
  next(): Promise<string | undefined>;
  /** How it ended; reads what is left. */
  end(): Promise<End>;
  cancel(): void;
}

export interface Driver {
  open(options: OpenOptions): Running;
  close(): void;
}

export interface DriverOptions {
  readonly port: number;
  readonly gzip: boolean;
}

/** Headers are ASCII. */
export function planHeader(plan: Plan): string {
  return JSON.stringify(plan).replaceAll(
    /[^ -~]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const ok: End = { code: 0, message: "", reason: undefined, details: [] };

function endOf(code: number, message: string, details: Uint8Array | undefined): End {
  if (code === 0) return ok;
  if (details === undefined) return { code, message, reason: undefined, details: [] };
  const status = fromBinary(StatusSchema, details);
  const info = status.details.find((detail) => detail.typeUrl.endsWith("ErrorInfo"));
  return {
    code,
    message,
    reason: info === undefined ? undefined : fromBinary(ErrorInfoSchema, info.value).reason,
    details: status.details.map((detail) => detail.typeUrl.split(".").at(-1) ?? ""),
  };
}

/** The client most people have; binary only. */
export function grpcJsDriver(echo: EchoServer, options: DriverOptions): Driver {
  const client = new Client(`127.0.0.1:${options.port}`, credentials.createInsecure(), {
    ...(options.gzip ? { "grpc.default_compression_algorithm": 2 } : {}),
    // Its buffer for retries would take the first megabyte off the caller's hands, whatever the server does.
    "grpc.enable_retries": 0,
    "grpc.per_rpc_retry_buffer_size": 0,
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
  });
  const desc = echo.message("test.v1.Everything");
  return {
    close: () => client.close(),
    open: ({ kind, id, plan, timeoutMs }) => {
      const metadata = new Metadata();
      metadata.set("x-request-id", id);
      if (plan !== undefined) metadata.set("echo-plan", planHeader(plan));
      // As a header and not as the client's deadline, so that it is the server that ends the call.
      if (timeoutMs !== undefined) metadata.set("grpc-timeout", `${timeoutMs}m`);
      const stream = client.makeBidiStreamRequest(
        `/test.v1.Echo/${methods[kind]}`,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => (decode(desc, bytes) as unknown as { text: string }).text,
        metadata,
        {},
      );
      return new GrpcJsCall(stream, (text) => encode(desc, make(desc, { text })));
    },
  };
}

class GrpcJsCall implements Running {
  accepted = 0;
  readonly #stream: ClientDuplexStream<Buffer, string>;
  readonly #encode: (text: string) => Buffer;
  readonly #messages: AsyncIterator<string>;
  readonly #status: Promise<StatusObject>;

  constructor(stream: ClientDuplexStream<Buffer, string>, encodeText: (text: string) => Buffer) {
    this.#stream = stream;
    this.#encode = encodeText;
    stream.on("error", () => {});
    this.#status = new Promise((resolve) => stream.once("status", resolve));
    this.#messages = stream.iterator({ destroyOnReturn: false });
  }

  send(text: string): void {
    this.#stream.write(this.#encode(text), () => {
      this.accepted += 1;
    });
  }

  endSending(): void {
    this.#stream.end();
  }

  async next(): Promise<string | undefined> {
    // A failed call rejects here; its status tells why.
    const result = await this.#messages.next().catch(() => ({ done: true as const, value: undefined }));
    return result.done === true ? undefined : result.value;
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    const status = await this.#status;
    const [details] = status.metadata.get("grpc-status-details-bin");
    return endOf(status.code, status.details, details as Buffer | undefined);
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

export interface RawGrpcOptions extends DriverOptions {
  readonly json: boolean;
}

/** Frames by hand on node:http2, binary or JSON. */
export function rawGrpcDriver(echo: EchoServer, options: RawGrpcOptions): Driver {
  const session = connectHttp2(`http://127.0.0.1:${options.port}`);
  session.on("error", () => {});
  const desc = echo.message("test.v1.Everything");
  const write = (text: string): Buffer => {
    const message = make(desc, { text });
    return options.json ? Buffer.from(JSON.stringify(toJson(desc, message))) : encode(desc, message);
  };
  const read = (bytes: Buffer): string => {
    const message = options.json ? fromJson(desc, JSON.parse(bytes.toString())) : decode(desc, bytes);
    return (message as unknown as { text: string }).text;
  };
  return {
    close: () => session.destroy(),
    open: ({ kind, id, plan, timeoutMs }) => {
      const stream = openHttp2(session, {
        method: "POST",
        path: `/test.v1.Echo/${methods[kind]}`,
        headers: {
          "content-type": options.json ? "application/grpc+json" : "application/grpc",
          te: "trailers",
          "x-request-id": id,
          ...(options.gzip ? { "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip" } : {}),
          ...(plan === undefined ? {} : { "echo-plan": planHeader(plan) }),
          ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
        },
      });
      return new RawGrpcCall(stream, { write, read, gzip: options.gzip });
    },
  };
}

interface RawCodec {
  readonly write: (text: string) => Buffer;
  readonly read: (bytes: Buffer) => string;
  readonly gzip: boolean;
}

export function frame(message: Uint8Array, flag = 0, length = message.length): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes[0] = flag;
  bytes.writeUInt32BE(length, 1);
  bytes.set(message, 5);
  return bytes;
}

class RawGrpcCall implements Running {
  accepted = 0;
  readonly #stream: ByteStream;
  readonly #codec: RawCodec;
  #held = Buffer.alloc(0);

  constructor(stream: ByteStream, codec: RawCodec) {
    this.#stream = stream;
    this.#codec = codec;
  }

  send(text: string): void {
    const bytes = this.#codec.write(text);
    const framed = this.#codec.gzip ? frame(gzipSync(bytes, { level: 1 }), 1) : frame(bytes);
    this.#stream.write(framed, () => {
      this.accepted += 1;
    });
  }

  endSending(): void {
    this.#stream.end();
  }

  async next(): Promise<string | undefined> {
    for (;;) {
      const length = this.#held.length < 5 ? undefined : this.#held.readUInt32BE(1) + 5;
      if (length !== undefined && this.#held.length >= length) {
        const bytes = this.#held.subarray(5, length);
        const message = this.#held[0] === 1 ? gunzipSync(bytes) : bytes;
        this.#held = this.#held.subarray(length);
        return this.#codec.read(message);
      }
      const chunk = await this.#stream.read();
      if (chunk === undefined) return undefined;
      this.#held = Buffer.concat([this.#held, chunk]);
    }
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    if (this.#held.length > 0) throw new Error("the answer ended inside a frame");
    const { headers } = await this.#stream.head;
    const all = { ...headers, ...this.#stream.trailers };
    const status = all["grpc-status"];
    if (status === undefined) return { code: 1, message: "no status", reason: undefined, details: [] };
    const details = all["grpc-status-details-bin"];
    return endOf(
      Number(status),
      decodeURIComponent(String(all["grpc-message"] ?? "")),
      details === undefined ? undefined : Buffer.from(String(details), "base64"),
    );
  }

  cancel(): void {
    this.#stream.cancel();
  }
}

export interface RestOptions extends DriverOptions {
  readonly http: 1 | 2;
  /** Streams are answered as server-sent events and sent as lines, instead of lines and raw pieces. */
  readonly events: boolean;
}

/** JSON over HTTP: one body in (raw pieces for the client stream), one body or lines out. */
export function restDriver(options: RestOptions): Driver {
  let session: ClientHttp2Session | undefined;
  if (options.http === 2) {
    session = connectHttp2(`http://127.0.0.1:${options.port}`);
    session.on("error", () => {});
  }
  const paths: Readonly<Record<Kind, string>> = {
    unary: "/v1/echo",
    server_stream: "/v1/stream",
    client_stream: "/v1/upload",
    bidi_stream: "/test.v1.Echo/BidiStream",
  };
  return {
    close: () => session?.destroy(),
    open: ({ kind, id, plan, timeoutMs }) => {
      const raw = kind === "client_stream" && !options.events;
      const lines = !raw && (kind === "client_stream" || kind === "bidi_stream");
      const gzip = options.gzip && !raw && !lines;
      const request = {
        method: "POST",
        path: lines ? `/test.v1.Echo/${methods[kind]}` : paths[kind],
        headers: {
          "content-type": raw ? "text/plain" : lines ? "application/x-ndjson" : "application/json",
          ...(options.events ? { accept: "text/event-stream, application/json;q=0.1" } : {}),
          "x-request-id": id,
          ...(gzip ? { "content-encoding": "gzip" } : {}),
          ...(plan === undefined ? {} : { "echo-plan": planHeader(plan) }),
          ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
        },
      };
      const stream = session === undefined ? openHttp1(options.port, request) : openHttp2(session, request);
      return new RestCall(stream, { gzip, raw, lines });
    },
  };
}

interface RestError {
  readonly code: number;
  readonly message: string;
  readonly details: readonly { readonly "@type": string; readonly reason?: string }[];
}

class RestCall implements Running {
  accepted = 0;
  readonly #stream: ByteStream;
  readonly #options: { readonly gzip: boolean; readonly raw: boolean; readonly lines: boolean };
  #held = "";
  #error: RestError | undefined;

  constructor(
    stream: ByteStream,
    options: { readonly gzip: boolean; readonly raw: boolean; readonly lines: boolean },
  ) {
    this.#stream = stream;
    this.#options = options;
  }

  send(text: string): void {
    const { raw, lines, gzip } = this.#options;
    const bytes = Buffer.from(raw ? text : JSON.stringify({ text }) + (lines ? "\n" : ""));
    this.#stream.write(gzip ? gzipSync(bytes) : bytes, () => {
      this.accepted += 1;
    });
  }

  endSending(): void {
    this.#stream.end();
  }

  async next(): Promise<string | undefined> {
    const { status, headers } = await this.#stream.head;
    const type = String(headers["content-type"]);
    const lines = status === 200 && type.startsWith("application/x-ndjson");
    const events = status === 200 && type.startsWith("text/event-stream");
    for (;;) {
      const end = lines ? this.#held.indexOf("\n") : events ? this.#held.indexOf("\n\n") : -1;
      if (end !== -1 && events) {
        const found = this.#event(this.#held.slice(0, end));
        this.#held = this.#held.slice(end + 2);
        if (found !== undefined) return found;
        continue;
      }
      if (end !== -1) {
        const line = JSON.parse(this.#held.slice(0, end)) as { result?: { text: string }; error?: RestError };
        this.#held = this.#held.slice(end + 1);
        if (line.error === undefined) return line.result?.text;
        this.#error = line.error;
        continue;
      }
      const chunk = await this.#stream.read();
      if (chunk !== undefined) this.#held += chunk.toString("latin1");
      else if (this.#held === "") return undefined;
      else return this.#whole(status);
    }
  }

  /** Undefined: no message. */
  #event(block: string): string | undefined {
    const fields = new Map(
      block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
    );
    const data = fields.get("data");
    if (data === undefined || fields.get("event") === "end") return undefined;
    const value = JSON.parse(Buffer.from(data, "latin1").toString()) as { text?: string } & RestError;
    if (fields.get("event") !== "error") return value.text ?? "";
    this.#error = value;
    return undefined;
  }

  #whole(status: number): string | undefined {
    const body = JSON.parse(Buffer.from(this.#held, "latin1").toString()) as { text?: string } & RestError;
    this.#held = "";
    if (status === 200) return body.text ?? "";
    this.#error = body;
    return undefined;
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    if (this.#error === undefined) return this.#stream.cut ? { ...ok, code: 1, message: "cut" } : ok;
    const { code, message, details } = this.#error;
    return {
      code,
      message,
      reason: details[0]?.reason,
      details: details.map((detail) => detail["@type"].split(".").at(-1) ?? ""),
    };
  }

  cancel(): void {
    this.#stream.cancel();
  }
}
