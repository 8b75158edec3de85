/** The response half of gRPC: headers, messages, trailers, and the short form of a failure. */
import { gzip } from "#gateway/codec/compression.ts";
import { frameOf, writeFrame } from "#gateway/wire/grpc-frames.ts";
import { errorTrailers } from "#gateway/wire/grpc-status.ts";
import type { Call } from "#rpc/call.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Payload } from "#rpc/payload.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { Outbox } from "../outbox.ts";
import type { RequestFormat } from "./read.ts";

/** Smaller messages grow or gain nothing by compression. */
const compressFromBytes = 1024;

export interface AnsweredRequest {
  readonly id: string;
  /** Whether the answer's headers repeat the id. */
  readonly echo: boolean;
  /** Whether errors carry `ErrorInfo` and `RequestInfo`. */
  readonly ownDetails: boolean;
}

export class GrpcReply {
  readonly #exchange: Exchange;
  readonly #format: RequestFormat;
  readonly #request: AnsweredRequest;
  /** Of a stream. */
  #outbox: Outbox | undefined;
  /** Compress only for a client that compresses itself: on a fast network it costs more than it saves. */
  readonly compresses: boolean;

  constructor(exchange: Exchange, format: RequestFormat, request: AnsweredRequest) {
    this.#exchange = exchange;
    this.#format = format;
    this.#request = request;
    this.compresses = format.acceptsGzip && format.compression === "gzip";
  }

  /** Sends the response headers; later calls do nothing. */
  start(call: Call): void {
    if (!this.#exchange.started) this.#exchange.start(200, this.#headers(call), { trailers: true });
  }

  unary(response: Payload, call: Call): void {
    const frame = frameOf(response, this.#format.encoding);
    this.start(call);
    this.#exchange.endWith(frame, this.#okTrailers(call));
  }

  async compressed(response: Payload, call: Call): Promise<void> {
    const frame = await this.#compress(response.bytesIn(this.#format.encoding));
    this.start(call);
    this.#exchange.endWith(frame, this.#okTrailers(call));
  }

  /** Nothing more can be said. */
  reset(): void {
    // RFC 9113 section 7: INTERNAL_ERROR.
    this.#exchange.reset(2);
  }

  async stream(responses: AsyncIterable<Payload>, call: Call): Promise<void> {
    this.#exchange.onStalled((error) => call.cancel(error));
    const outbox = new Outbox(this.#exchange);
    this.#outbox = outbox;
    for await (const response of responses) {
      const behind = outbox.room();
      if (behind !== undefined) await behind;
      if (this.compresses) outbox.bytes(await this.#compress(response.bytesIn(this.#format.encoding)));
      else outbox.frame(response, this.#format.encoding);
      this.start(call);
      const room = outbox.added();
      if (room !== undefined) await room;
    }
    this.start(call);
    outbox.end(this.#okTrailers(call));
  }

  /** Trailers-Only where nothing was sent yet, else the trailers of what was. */
  fail(error: RpcError, call: Call | undefined): void {
    const trailers: ResponseHeaders = errorTrailers(
      error,
      this.#request.ownDetails ? this.#request.id : undefined,
    );
    if (error.reason === "COMPRESSION_UNKNOWN") trailers["grpc-accept-encoding"] = "gzip, br, identity";
    if (call?.hasResponseTrailers === true) addMetadata(trailers, call.responseTrailers);
    if (this.#exchange.started) (this.#outbox ?? this.#exchange).end(trailers);
    else {
      const headers = call === undefined ? this.#baseHeaders() : this.#headers(call);
      this.#exchange.replyHeadersOnly(200, {
        ...headers,
        "x-request-id": this.#request.id,
        ...trailers,
      });
    }
  }

  async #compress(bytes: Uint8Array): Promise<Buffer> {
    return bytes.length < compressFromBytes ? writeFrame(bytes, false) : writeFrame(await gzip(bytes), true);
  }

  #baseHeaders(): ResponseHeaders {
    const { contentType } = this.#format;
    return this.#request.echo
      ? { "content-type": contentType, "x-request-id": this.#request.id }
      : { "content-type": contentType };
  }

  #headers(call: Call): ResponseHeaders {
    const headers = this.#baseHeaders();
    if (this.compresses) headers["grpc-encoding"] = "gzip";
    if (call.hasResponseHeaders) addMetadata(headers, call.responseHeaders);
    return headers;
  }

  #okTrailers(call: Call): ResponseHeaders {
    const trailers: ResponseHeaders = { "grpc-status": "0" };
    if (call.hasResponseTrailers) addMetadata(trailers, call.responseTrailers);
    return trailers;
  }
}

/** Names that a handler cannot set: they are the protocol's. */
function isReserved(name: string): boolean {
  return (
    name.startsWith("grpc-") ||
    name.startsWith(":") ||
    name === "content-type" ||
    name === "te" ||
    name === "content-length" ||
    name === "connection"
  );
}

function addMetadata(to: ResponseHeaders, metadata: Metadata): void {
  metadata.forEach((name, value) => {
    if (isReserved(name)) return;
    const text = typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, "");
    const before = to[name];
    to[name] = before === undefined ? text : [...(Array.isArray(before) ? before : [String(before)]), text];
  });
}
