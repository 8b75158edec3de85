/** The echo service over gRPC and gRPC-Web: grpc-js, and frames by hand on node:http and node:http2. */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { fromJson, toJson } from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, credentials, Metadata, type StatusObject } from "@grpc/grpc-js";
import { type ByteStream, openHttp } from "./byte-stream.ts";
import {
  type Compression,
  type Driver,
  type DriverOptions,
  type End,
  endOf,
  methods,
  pack,
  planHeader,
  type Running,
} from "./drivers.ts";
import { decode, type EchoServer, encode } from "./echo.ts";
import { make } from "./echo-service.ts";

/** The client most people have; binary only. */
export function grpcJsDriver(echo: EchoServer, options: DriverOptions): Driver {
  const client = new Client(`127.0.0.1:${options.port}`, credentials.createInsecure(), {
    ...(options.compression === "gzip" ? { "grpc.default_compression_algorithm": 2 } : {}),
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
  readonly http: 1 | 2;
  /** gRPC-Web, whose trailers are the last frame; `text` has all of it in base64. */
  readonly web?: "binary" | "text";
}

/** Frames by hand, binary or JSON. */
export function rawGrpcDriver(echo: EchoServer, options: RawGrpcOptions): Driver {
  const { compression, json, web } = options;
  const http = openHttp(options.port, options.http);
  const desc = echo.message("test.v1.Everything");
  const codec: RawCodec = {
    ...options,
    write: (text) => {
      const message = make(desc, { text });
      return json ? Buffer.from(JSON.stringify(toJson(desc, message))) : encode(desc, message);
    },
    read: (bytes) => {
      const message = json ? fromJson(desc, JSON.parse(bytes.toString())) : decode(desc, bytes);
      return (message as unknown as { text: string }).text;
    },
  };
  const family = { binary: "-web", text: "-web-text", none: "" }[web ?? "none"];
  return {
    close: () => http.close(),
    open: ({ kind, id, plan, timeoutMs }) => {
      const stream = http.open({
        method: "POST",
        path: `/test.v1.Echo/${methods[kind]}`,
        headers: {
          "content-type": `application/grpc${family}${json ? "+json" : ""}`,
          ...(web === undefined ? { te: "trailers" } : {}),
          "x-request-id": id,
          ...(compression === "identity"
            ? {}
            : { "grpc-encoding": compression, "grpc-accept-encoding": compression }),
          ...(plan === undefined ? {} : { "echo-plan": planHeader(plan) }),
          ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
        },
      });
      return new RawGrpcCall(stream, codec);
    },
  };
}

interface RawCodec {
  readonly write: (text: string) => Buffer;
  readonly read: (bytes: Buffer) => string;
  readonly compression: Compression;
  readonly web?: "binary" | "text";
}

export function frame(message: Uint8Array, flag = 0, length = message.length): Buffer {
  const bytes = Buffer.alloc(5 + message.length);
  bytes[0] = flag;
  bytes.writeUInt32BE(length, 1);
  bytes.set(message, 5);
  return bytes;
}

const trailersFlag = 0x80;

class RawGrpcCall implements Running {
  accepted = 0;
  readonly #stream: ByteStream;
  readonly #codec: RawCodec;
  #held = Buffer.alloc(0);
  /** Of base64: what does not make three bytes yet. */
  #text = "";
  #webTrailers: Record<string, string> = {};

  constructor(stream: ByteStream, codec: RawCodec) {
    this.#stream = stream;
    this.#codec = codec;
  }

  send(text: string): void {
    const { write, compression, web } = this.#codec;
    const bytes = write(text);
    const framed = compression === "identity" ? frame(bytes) : frame(pack[compression](bytes), 1);
    // Padded each for itself: the server has to take padding in the middle.
    const sent = web === "text" ? Buffer.from(framed.toString("base64")) : framed;
    this.#stream.write(sent, () => {
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
        const [flag = 0] = this.#held;
        const bytes = this.#held.subarray(5, length);
        this.#held = this.#held.subarray(length);
        if (flag < trailersFlag) return this.#codec.read(flag === 0 ? bytes : this.#unpack(bytes));
        this.#webTrailers = trailersIn(flag === trailersFlag ? bytes : this.#unpack(bytes));
        continue;
      }
      const chunk = await this.#stream.read();
      if (chunk === undefined) return undefined;
      this.#held = Buffer.concat([this.#held, this.#codec.web === "text" ? this.#decode(chunk) : chunk]);
    }
  }

  async end(): Promise<End> {
    while ((await this.next()) !== undefined);
    if (this.#held.length > 0) throw new Error("the answer ended inside a frame");
    const { headers } = await this.#stream.head;
    const all = { ...headers, ...this.#stream.trailers, ...this.#webTrailers };
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

  #unpack(bytes: Buffer): Buffer {
    return this.#codec.compression === "br" ? brotliDecompressSync(bytes) : gunzipSync(bytes);
  }

  /** Groups of four: padding may come in the middle. */
  #decode(chunk: Buffer): Buffer {
    this.#text += chunk.toString("latin1");
    const whole = this.#text.length - (this.#text.length % 4);
    const parts: Buffer[] = [];
    let from = 0;
    for (let at = this.#text.indexOf("="); at !== -1 && at < whole; at = this.#text.indexOf("=", from)) {
      const end = at - (at % 4) + 4;
      parts.push(Buffer.from(this.#text.slice(from, end), "base64"));
      from = end;
    }
    parts.push(Buffer.from(this.#text.slice(from, whole), "base64"));
    this.#text = this.#text.slice(whole);
    return Buffer.concat(parts);
  }
}

function trailersIn(bytes: Buffer): Record<string, string> {
  const lines = bytes.toString("latin1").split("\r\n");
  return Object.fromEntries(
    lines.filter(Boolean).map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
    }),
  );
}
