/** An exchange over HTTP/2, on node:http2's stream API. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { clientGone } from "#rpc/call.ts";
import type { Peer } from "#rpc/peer.ts";
import { readChunks, readWhole } from "./body-reader.ts";
import type { Exchange, RequestHeaders, ResponseHeaders } from "./exchange.ts";

/** RFC 9113 section 7. */
const noError = 0;

export class Http2Exchange implements Exchange {
  readonly http = 2;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: RequestHeaders;
  readonly hasBody: boolean;
  readonly startedAtMs: number;
  readonly #stream: ServerHttp2Stream;
  #trailers: ResponseHeaders | undefined;
  /** The answer ends with trailers, which node:http2 asks for after the last byte of the body. */
  #trailing = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, startedAtMs: number) {
    this.#stream = stream;
    this.headers = headers;
    this.startedAtMs = startedAtMs;
    this.method = headers[":method"] ?? "GET";
    const target = headers[":path"] ?? "/";
    const mark = target.indexOf("?");
    this.path = mark === -1 ? target : target.slice(0, mark);
    this.query = mark === -1 ? "" : target.slice(mark + 1);
    this.hasBody = !stream.endAfterHeaders;
    // Resets surface here too; whoever waits hears of them through "close".
    stream.on("error", () => {});
  }

  get peer(): Peer {
    const socket = this.#stream.session?.socket;
    return { address: socket?.remoteAddress ?? "", port: socket?.remotePort ?? 0 };
  }

  get started(): boolean {
    return this.#stream.headersSent;
  }

  readBody(maxBytes: number): Promise<Uint8Array> {
    return readWhole(this.#stream, maxBytes);
  }

  chunks(): AsyncIterable<Uint8Array> {
    return readChunks(this.#stream);
  }

  reply(status: number, headers: ResponseHeaders, body: Uint8Array | string | undefined): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    if (status !== 304)
      headers["content-length"] =
        body === undefined ? 0 : typeof body === "string" ? Buffer.byteLength(body) : body.length;
    headers[":status"] = status;
    if (body === undefined || this.method === "HEAD" || status === 304)
      stream.respond(headers as OutgoingHttpHeaders, { endStream: true });
    else {
      stream.respond(headers as OutgoingHttpHeaders);
      stream.end(body);
    }
    this.#finishEarly();
  }

  start(status: number, headers: ResponseHeaders, options?: { readonly trailers?: boolean }): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    headers[":status"] = status;
    if (options?.trailers !== true) {
      stream.respond(headers as OutgoingHttpHeaders);
      return;
    }
    this.#trailing = true;
    stream.respond(headers as OutgoingHttpHeaders, { waitForTrailers: true });
    stream.once("wantTrailers", () => stream.sendTrailers((this.#trailers ?? {}) as OutgoingHttpHeaders));
  }

  write(chunk: Uint8Array | string): Promise<void> | undefined {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return Promise.reject(clientGone());
    if (this.method === "HEAD" || stream.write(chunk)) return undefined;
    return drained(stream);
  }

  end(trailers?: ResponseHeaders): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    this.#trailers = trailers;
    stream.end();
    this.#finishEarly();
  }

  endWith(chunk: Uint8Array, trailers?: ResponseHeaders): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    this.#trailers = trailers;
    stream.end(chunk);
    this.#finishEarly();
  }

  replyHeadersOnly(status: number, headers: ResponseHeaders): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    headers[":status"] = status;
    stream.respond(headers as OutgoingHttpHeaders, { endStream: true });
    this.#finishEarly();
  }

  reset(code = 8): void {
    if (!this.#stream.destroyed) this.#stream.close(code);
  }

  onAbort(listener: () => void): void {
    const stream = this.#stream;
    let over = false;
    const once = (): void => {
      if (over) return;
      over = true;
      listener();
    };
    stream.once("aborted", once);
    stream.once("close", () => {
      if (!stream.writableFinished && !this.#answered()) once();
    });
  }

  /** An answer without a body ends the writable side without "finish". */
  #answered(): boolean {
    return this.#stream.headersSent && this.#stream.rstCode === noError;
  }

  /** A server that is done before its client sends RST_STREAM(NO_ERROR) after the answer (RFC 9113 section 8.1). */
  #finishEarly(): void {
    const stream = this.#stream;
    if (stream.readableEnded || stream.endAfterHeaders) return;
    const stop = (): void => {
      if (!stream.readableEnded && !stream.destroyed) stream.close(noError);
    };
    // What is left of a small body is on its way: give it one turn to arrive.
    stream.resume();
    // "finish" comes before node:http2 asks for the trailers: a reset then would overtake them.
    stream.once(this.#trailing ? "wantTrailers" : "finish", () => setImmediate(stop));
  }
}

function drained(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve, reject) => {
    const onDrain = (): void => {
      stream.removeListener("close", onClose);
      resolve();
    };
    const onClose = (): void => {
      stream.removeListener("drain", onDrain);
      reject(clientGone());
    };
    stream.once("drain", onDrain);
    stream.once("close", onClose);
  });
}
