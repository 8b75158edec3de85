/** The response half of Connect: a message and its headers, a stream of envelopes, or an error. */
import { type Compression, compress, isCompression } from "#gateway/codec/compression.ts";
import { toStatus } from "#gateway/wire/error-status.ts";
import { writeFrame } from "#gateway/wire/grpc-frames.ts";
import type { Call } from "#rpc/call.ts";
import { codes } from "#rpc/code.ts";
import type { RpcError } from "#rpc/error.ts";
import type { Metadata } from "#rpc/metadata.ts";
import type { Encoding, Payload } from "#rpc/payload.ts";
import type { Exchange, ResponseHeaders } from "../exchange.ts";
import { Outbox } from "../outbox.ts";
import { retryAfter } from "../rest/error-body.ts";
import { secure } from "../rest/security-headers.ts";

/** Smaller messages grow or gain nothing by compression. */
const compressFromBytes = 1024;
/** Flag of the envelope that ends a stream. */
const endFlag = 0x02;

export interface AnsweredRequest {
  readonly id: string;
  /** Whether errors carry `ErrorInfo` and `RequestInfo`. */
  readonly ownDetails: boolean;
}

export class UnaryReply {
  readonly #exchange: Exchange;
  readonly #encoding: Encoding;
  readonly #request: AnsweredRequest;

  constructor(exchange: Exchange, encoding: Encoding, request: AnsweredRequest) {
    this.#exchange = exchange;
    this.#encoding = encoding;
    this.#request = request;
  }

  /** A promise only where the answer is compressed. */
  message(response: Payload, call: Call): Promise<void> | undefined {
    const headers = secure(`application/${this.#encoding}`, this.#request.id);
    this.#addMetadata(headers, call);
    if (this.#exchange.method === "GET") headers.vary = "accept-encoding, authorization, x-api-key";
    const compression = accepted(this.#exchange.headers["accept-encoding"]);
    if (compression === undefined) {
      // A text may be kept with its message, and leaves in one piece with the headers.
      const body = this.#encoding === "json" ? response.text() : response.bytesIn("proto");
      this.#exchange.reply(200, headers, body);
      return undefined;
    }
    const bytes = response.bytesIn(this.#encoding);
    if (bytes.length >= compressFromBytes) return this.#compressed(bytes, headers, compression);
    this.#exchange.reply(200, headers, bytes);
    return undefined;
  }

  async #compressed(bytes: Uint8Array, headers: ResponseHeaders, compression: Compression): Promise<void> {
    headers["content-encoding"] = compression;
    this.#exchange.reply(200, headers, await compress(bytes, compression));
  }

  /** @param status default: the code's. */
  fail(error: RpcError, call: Call | undefined, status: number = codes[error.code].http): void {
    const headers = secure("application/json", this.#request.id);
    if (error.reason === "COMPRESSION_UNKNOWN") headers["accept-encoding"] = "gzip, br, identity";
    if (error.code === "unauthenticated")
      headers["www-authenticate"] =
        error.reason === "CREDENTIAL_INVALID" ? 'Bearer error="invalid_token"' : "Bearer";
    if (call !== undefined) this.#addMetadata(headers, call);
    const retry = retryAfter(error);
    if (retry !== undefined) headers["retry-after"] = retry;
    this.#exchange.reply(status, headers, JSON.stringify(errorJson(error, this.#request)));
  }

  #addMetadata(headers: ResponseHeaders, call: Call): void {
    if (call.hasResponseHeaders) addMetadata(headers, call.responseHeaders, "");
    if (call.hasResponseTrailers) addMetadata(headers, call.responseTrailers, "trailer-");
  }
}

export class StreamReply {
  readonly #exchange: Exchange;
  readonly #encoding: Encoding;
  readonly #request: AnsweredRequest;
  readonly #compression: Compression | undefined;
  readonly #outbox: Outbox;

  constructor(exchange: Exchange, encoding: Encoding, request: AnsweredRequest) {
    this.#exchange = exchange;
    this.#encoding = encoding;
    this.#request = request;
    this.#outbox = new Outbox(exchange);
    this.#compression = accepted(exchange.headers["connect-accept-encoding"]);
  }

  /** Sends the response headers; later calls do nothing. */
  start(call: Call | undefined): void {
    if (this.#exchange.started) return;
    const headers = secure(`application/connect+${this.#encoding}`, this.#request.id);
    headers["connect-accept-encoding"] = "gzip, br";
    if (this.#compression !== undefined) headers["connect-content-encoding"] = this.#compression;
    if (call?.hasResponseHeaders === true) addMetadata(headers, call.responseHeaders, "");
    this.#exchange.start(200, headers);
  }

  async messages(responses: AsyncIterable<Payload> | readonly Payload[], call: Call): Promise<void> {
    this.#exchange.onStalled((error) => call.cancel(error));
    const outbox = this.#outbox;
    for await (const response of responses) {
      const behind = outbox.room();
      if (behind !== undefined) await behind;
      if (this.#compression === undefined) outbox.frame(response, this.#encoding);
      else outbox.bytes(await packed(response.bytesIn(this.#encoding), this.#compression));
      this.start(call);
      const room = outbox.added();
      if (room !== undefined) await room;
    }
    this.#end(call, undefined);
  }

  fail(error: RpcError, call: Call | undefined): void {
    this.#end(call, error);
  }

  #end(call: Call | undefined, error: RpcError | undefined): void {
    this.start(call);
    const metadata: Record<string, string[]> = {};
    if (call?.hasResponseTrailers === true)
      for (const [name, value] of call.responseTrailers.entries())
        metadata[name] = [...(metadata[name] ?? []), textOf(value)];
    const end = {
      ...(error === undefined ? {} : { error: errorJson(error, this.#request) }),
      ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
    };
    const frame = writeFrame(Buffer.from(JSON.stringify(end)), false);
    frame[0] = endFlag;
    this.#outbox.bytes(frame);
    this.#outbox.end();
  }
}

async function packed(bytes: Uint8Array, compression: Compression): Promise<Buffer> {
  return bytes.length < compressFromBytes
    ? writeFrame(bytes, false)
    : writeFrame(await compress(bytes, compression), true);
}

/** The first that is spoken here; undefined: none. */
function accepted(header: string | string[] | undefined): Compression | undefined {
  if (header === undefined) return undefined;
  return String(header)
    .split(",")
    .map((one) => one.split(";", 1)[0]?.trim().toLowerCase() ?? "")
    .find(isCompression);
}

function errorJson(error: RpcError, { id, ownDetails }: AnsweredRequest): object {
  return {
    code: error.code,
    message: error.message,
    details: toStatus(error, ownDetails ? id : undefined).details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1),
      value: Buffer.from(value).toString("base64").replace(/=+$/, ""),
    })),
  };
}

const reserved = new Set([
  "content-type",
  "content-length",
  "content-encoding",
  "connection",
  "transfer-encoding",
]);

function addMetadata(to: ResponseHeaders, metadata: Metadata, prefix: string): void {
  for (const [name, value] of metadata.entries()) {
    if (reserved.has(name) || name.startsWith(":") || name.startsWith("connect-")) continue;
    const before = to[prefix + name];
    const text = textOf(value);
    to[prefix + name] =
      before === undefined ? text : [...(Array.isArray(before) ? before : [String(before)]), text];
  }
}

function textOf(value: string | Uint8Array): string {
  return typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, "");
}
