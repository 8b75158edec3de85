/** The echo service through Connect's own client: its protocol and gRPC-Web, over both HTTP versions. */

import { deflateSync, inflateSync } from "node:zlib";
import type { DescMethodStreaming, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import { ConnectError, type Transport } from "@connectrpc/connect";
import type { Compression as ConnectCompression } from "@connectrpc/connect/protocol";
import {
  compressionBrotli,
  compressionGzip,
  createConnectTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "#gen/google/rpc/error_details_pb.ts";
import {
  type Compression,
  type Driver,
  type DriverOptions,
  type End,
  methods,
  pack,
  planHeader,
  type Running,
} from "./drivers.ts";
import type { EchoServer } from "./echo.ts";
import { make } from "./echo-service.ts";

export interface ConnectDriverOptions extends DriverOptions {
  readonly protocol: "connect" | "grpc-web";
  readonly http: 1 | 2;
  readonly json: boolean;
}

const compressions: Readonly<Record<Compression, ConnectCompression | null>> = {
  identity: null,
  gzip: compressionGzip,
  // Connect's own packs with the most effort there is, 20 ms for what this needs half of one for.
  br: { ...compressionBrotli, compress: async (bytes) => new Uint8Array(pack.br(bytes)) },
  deflate: {
    name: "deflate",
    compress: async (bytes) => new Uint8Array(deflateSync(bytes)),
    decompress: async (bytes) => new Uint8Array(inflateSync(bytes)),
  },
};

export function connectDriver(echo: EchoServer, options: ConnectDriverOptions): Driver {
  const baseUrl = `http://127.0.0.1:${options.port}`;
  const compression = compressions[options.compression];
  const sessions = new Http2SessionManager(baseUrl);
  const common = {
    baseUrl,
    useBinaryFormat: !options.json,
    acceptCompression: compression === null ? [] : [compression],
    compressMinBytes: 0,
    ...(compression === null ? {} : { sendCompression: compression }),
  };
  const http =
    options.http === 2
      ? { httpVersion: "2" as const, sessionManager: sessions }
      : { httpVersion: "1.1" as const };
  const transport: Transport =
    options.protocol === "connect"
      ? createConnectTransport({ ...common, ...http })
      : createGrpcWebTransport({ ...common, ...http });
  return {
    open: ({ kind, id, plan, timeoutMs }) => {
      const method = echo.method(`test.v1.Echo/${methods[kind]}`);
      const header = {
        ...{ "x-request-id": id, "echo-plan": planHeader(plan ?? {}) },
        // By hand: told of it, the client would end the call itself and not hear the server.
        ...(timeoutMs === undefined
          ? {}
          : options.protocol === "connect"
            ? { "connect-timeout-ms": String(timeoutMs) }
            : { "grpc-timeout": `${timeoutMs}m` }),
      };
      const abort = new AbortController();
      const input = new Input();
      const toMessage = (text: string): Message => make(method.input, { text });
      const answers = async function* (): AsyncGenerator<Message> {
        if (kind === "unary") {
          const first = await input.first();
          const { message } = await transport.unary(
            method as unknown as DescMethodUnary,
            abort.signal,
            undefined,
            header,
            toMessage(first),
          );
          yield message as Message;
        } else {
          const { message } = await transport.stream(
            method as unknown as DescMethodStreaming,
            abort.signal,
            undefined,
            header,
            input.messages(toMessage),
          );
          yield* message as AsyncIterable<Message>;
        }
      };
      return new ConnectRunning(answers(), input, abort);
    },
    close: () => sessions.abort(),
  };
}

/** What the test sends, pulled as fast as the transport takes it. */
class Input {
  readonly #texts: string[] = [];
  #ended = false;
  #wake: (() => void) | undefined;
  pulled = 0;

  push(text: string): void {
    this.#texts.push(text);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async first(): Promise<string> {
    for await (const text of this.#all()) return text;
    return "";
  }

  async *messages(toMessage: (text: string) => Message): AsyncGenerator<Message> {
    for await (const text of this.#all()) {
      yield toMessage(text);
      this.pulled += 1;
    }
  }

  async *#all(): AsyncGenerator<string> {
    for (;;) {
      const text = this.#texts.shift();
      if (text !== undefined) yield text;
      else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

class ConnectRunning implements Running {
  readonly #answers: AsyncGenerator<Message>;
  readonly #input: Input;
  readonly #abort: AbortController;
  #started: Promise<IteratorResult<Message>> | undefined;

  constructor(answers: AsyncGenerator<Message>, input: Input, abort: AbortController) {
    this.#answers = answers;
    this.#input = input;
    this.#abort = abort;
    // The call begins when it is opened, not when its answer is looked at.
    this.#started = answers.next();
    this.#started.catch(() => undefined);
  }

  get accepted(): number {
    return this.#input.pulled;
  }

  send(text: string): void {
    this.#input.push(text);
  }

  endSending(): void {
    this.#input.end();
  }

  async next(): Promise<string | undefined> {
    const pending = this.#started ?? this.#answers.next();
    this.#started = undefined;
    const { value, done } = await pending;
    return done === true ? undefined : (value as unknown as { text: string }).text;
  }

  async end(): Promise<End> {
    try {
      while ((await this.next()) !== undefined);
      return { code: 0, message: "", reason: undefined, details: [] };
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      const details = error.details as { type?: string; value?: Uint8Array }[];
      const info = details.find(({ type }) => type?.endsWith("ErrorInfo"));
      return {
        code: error.code,
        message: error.rawMessage,
        reason: info?.value === undefined ? undefined : fromBinary(ErrorInfoSchema, info.value).reason,
        details: details.map(({ type = "" }) => type.slice(type.lastIndexOf(".") + 1)),
      };
    }
  }

  cancel(): void {
    this.#abort.abort();
    this.#answers.return(undefined).catch(() => undefined);
  }
}
