/** One HTTP request under way, over either version: bytes out, bytes in as they are asked for, and no more than that. */
import { Agent, type IncomingMessage, request as requestHttp1 } from "node:http";
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from "node:http2";
import type { Readable } from "node:stream";

export interface ByteStream {
  /** `accepted` runs when flow control has let the bytes go. */
  write(bytes: Uint8Array, accepted?: () => void): void;
  end(): void;
  /** Rejects when there is no answer. */
  readonly head: Promise<{ readonly status: number; readonly headers: Readonly<Record<string, unknown>> }>;
  /** Undefined at the end; also when the stream was cut, which `cut` then says. */
  read(): Promise<Buffer | undefined>;
  readonly cut: boolean;
  readonly trailers: Readonly<Record<string, unknown>>;
  /** Goes away in the middle: RST_STREAM(CANCEL), or a closed socket. */
  cancel(): void;
}

export interface StreamRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Requests over one HTTP/2 connection, or over one of HTTP/1 each. */
export interface Http {
  open(request: StreamRequest): ByteStream;
  close(): void;
}

export function openHttp(port: number, version: 1 | 2): Http {
  if (version === 1) return { open: (request) => openHttp1(port, request), close: () => {} };
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  return { open: (request) => openHttp2(session, request), close: () => session.destroy() };
}

/** An answer of texts with something behind each, as they are asked for. */
export class Blocks {
  readonly #stream: ByteStream;
  #held = "";

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** Up to the separator, which is left out; undefined: there is none any more. */
  async next(separator: string): Promise<string | undefined> {
    const block = await this.take((held) => {
      const end = held.indexOf(separator);
      return end === -1 ? undefined : end + separator.length;
    });
    return block?.slice(0, -separator.length);
  }

  /** @param find how much of what is there is one block; undefined: it is not complete. */
  async take(find: (held: string) => number | undefined): Promise<string | undefined> {
    for (;;) {
      const end = find(this.#held);
      if (end !== undefined) {
        const block = this.#held.slice(0, end);
        this.#held = this.#held.slice(end);
        return utf8(block);
      }
      const chunk = await this.#stream.read();
      if (chunk === undefined) return undefined;
      this.#held += chunk.toString("latin1");
    }
  }

  /** All that is left. */
  async rest(): Promise<string> {
    for (let chunk = await this.#stream.read(); chunk !== undefined; chunk = await this.#stream.read())
      this.#held += chunk.toString("latin1");
    const text = utf8(this.#held);
    this.#held = "";
    return text;
  }
}

function utf8(latin1: string): string {
  return Buffer.from(latin1, "latin1").toString();
}

export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
}

/** Undefined: a comment, or one without data. */
export function parseEvent(block: string): ServerSentEvent | undefined {
  const fields = new Map(
    block
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]),
  );
  const data = fields.get("data");
  return data === undefined ? undefined : { event: fields.get("event") ?? "message", data };
}

export function openHttp2(session: ClientHttp2Session, request: StreamRequest): ByteStream {
  const stream = session.request({ ":method": request.method, ":path": request.path, ...request.headers });
  const trailers: Record<string, unknown> = {};
  stream.on("trailers", (received) => Object.assign(trailers, received));
  const ended = Promise.withResolvers<undefined>();
  stream.on("error", () => {});
  stream.on("close", () => ended.resolve(undefined));
  const head = new Promise<{ status: number; headers: IncomingHttpHeaders }>((resolve, reject) => {
    stream.once("response", (headers) => resolve({ status: Number(headers[":status"]), headers }));
    stream.once("close", () => reject(new Error(`closed without an answer, code ${stream.rstCode}`)));
  });
  head.catch(() => {});
  const source = new Pulled(stream);
  return {
    write: (bytes, accepted) => void stream.write(bytes, () => accepted?.()),
    end: () => void stream.end(),
    head,
    read: async () => {
      const chunk = await source.read();
      // Trailers come after the last byte; "close" after both.
      return chunk ?? ended.promise;
    },
    get cut() {
      return stream.rstCode !== constants.NGHTTP2_NO_ERROR;
    },
    trailers,
    cancel: () => stream.close(constants.NGHTTP2_CANCEL),
  };
}

export function openHttp1(port: number, request: StreamRequest): ByteStream {
  const agent = new Agent({ keepAlive: false });
  const outgoing = requestHttp1({ host: "127.0.0.1", port, agent, ...request });
  let incoming: IncomingMessage | undefined;
  const head = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once("response", (message) => {
      incoming = message;
      message.on("error", () => {});
      message.pause();
      resolve(message);
    });
    outgoing.once("close", () => reject(new Error("closed without an answer")));
  });
  const answered = head.then((message) => ({ status: message.statusCode ?? 0, headers: message.headers }));
  answered.catch(() => {});
  outgoing.on("error", () => {});
  outgoing.flushHeaders();
  let source: Pulled | undefined;
  return {
    write: (bytes, accepted) => void outgoing.write(bytes, () => accepted?.()),
    end: () => void outgoing.end(),
    head: answered,
    read: async () => {
      source ??= new Pulled(await head);
      return source.read();
    },
    get cut() {
      return incoming?.complete !== true;
    },
    trailers: {},
    cancel: () => void outgoing.destroy(),
  };
}

/** Reads a stream only when asked, unlike a listener for "data". */
class Pulled {
  readonly #stream: Readable;
  #over = false;
  #wake: (() => void) | undefined;

  constructor(stream: Readable) {
    this.#stream = stream;
    // Of one that is over already nobody tells it again.
    this.#over = stream.destroyed || stream.readableEnded;
    const end = (): void => {
      this.#over = true;
      this.#wake?.();
    };
    stream.on("end", end).on("close", end);
    stream.on("readable", () => this.#wake?.());
  }

  async read(): Promise<Buffer | undefined> {
    for (;;) {
      const chunk = this.#stream.read() as Buffer | null;
      if (chunk !== null) return chunk;
      if (this.#over) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
