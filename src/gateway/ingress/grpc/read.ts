/** The request half of gRPC: content type, metadata, timeout, messages. */
import {
  type Compression,
  type InflateLimits,
  inflateBounded,
  isCompression,
} from "#gateway/codec/compression.ts";
import { type Frame, FrameReader, malformedFrame, messageTooLarge } from "#gateway/wire/grpc-frames.ts";
import { parseGrpcTimeout } from "#gateway/wire/grpc-timeout.ts";
import { RpcError } from "#rpc/error.ts";
import { Metadata, type MetadataValue } from "#rpc/metadata.ts";
import { BytesPayload, type Encoding, type MessageType, type Payload } from "#rpc/payload.ts";
import { checkBinaries, isWithheld } from "../client-headers.ts";
import type { Exchange, RequestHeaders } from "../exchange.ts";

export interface RequestFormat {
  readonly encoding: Encoding;
  /** As the answer repeats it. */
  readonly contentType: string;
  /** From `grpc-encoding`; undefined: messages are not compressed. */
  readonly compression: Compression | undefined;
  /** Of a compression that is not spoken here: what the client is told. */
  readonly refusal: RpcError | undefined;
  /** Whether the client takes gzip. */
  readonly acceptsGzip: boolean;
}

/** What most clients send: parsed once. */
const plainProto: RequestFormat = {
  encoding: "proto",
  contentType: "application/grpc",
  compression: undefined,
  refusal: undefined,
  acceptsGzip: false,
};

/** Undefined: not a content type of gRPC that is spoken here. */
export function readFormat(headers: RequestHeaders): RequestFormat | undefined {
  if (headers["content-type"] === "application/grpc" && headers["grpc-encoding"] === undefined)
    return plainProto;
  const contentType = String(headers["content-type"] ?? "");
  const plain = contentType.split(";", 1)[0]?.trim().toLowerCase();
  const encoding =
    plain === "application/grpc" || plain === "application/grpc+proto"
      ? "proto"
      : plain === "application/grpc+json"
        ? "json"
        : undefined;
  if (encoding === undefined || plain === undefined) return undefined;
  const compression = String(headers["grpc-encoding"] ?? "identity");
  const accepted = headers["grpc-accept-encoding"];
  return {
    encoding,
    contentType: plain,
    compression: isCompression(compression) ? compression : undefined,
    refusal: compression === "identity" || isCompression(compression) ? undefined : unknown(compression),
    acceptsGzip: accepted !== undefined && /(^|,)\s*gzip\s*(,|$)/.test(String(accepted)),
  };
}

/** Headers that are no metadata, besides those that no service sees. */
const transportHeaders = new Set(["content-type", "user-agent", "accept-encoding"]);

/** @throws RpcError METADATA_INVALID at once where a `-bin` value is not base64: a handler may look too late to say so. */
export function readMetadata(headers: RequestHeaders): Metadata {
  checkBinaries(headers);
  return new Metadata(() => metadataOf(headers), headers);
}

function* metadataOf(headers: RequestHeaders): Generator<readonly [string, MetadataValue]> {
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || isWithheld(name) || transportHeaders.has(name)) continue;
    const values = Array.isArray(value) ? value : [value];
    for (const text of values) {
      if (name.endsWith("-bin"))
        for (const part of text.split(",")) yield [name, new Uint8Array(Buffer.from(part.trim(), "base64"))];
      else yield [name, text];
    }
  }
  const agent = headers["user-agent"];
  if (typeof agent === "string") yield ["user-agent", agent];
}

export function readTimeout(headers: RequestHeaders): number | undefined {
  const text = headers["grpc-timeout"];
  return text === undefined ? undefined : parseGrpcTimeout(String(text));
}

/** Room for the prefix and the message, and for a second message to be noticed. */
export const slackBytes = 4096;

/**
 * The one message of a unary request; a promise only where it must be inflated.
 * @throws RpcError MESSAGE_COUNT_INVALID for none or several.
 */
export function readSingle(
  body: Uint8Array,
  format: RequestFormat,
  limits: InflateLimits,
): Uint8Array | Promise<Uint8Array> {
  const reader = new FrameReader(limits.maxBytes);
  reader.push(body);
  const frame = reader.next();
  if (frame === undefined) {
    reader.end();
    throw wrongCount("no message");
  }
  if (reader.next() !== undefined) throw wrongCount("more than one message");
  reader.end();
  return frame.compressed ? inflate(frame, format, limits) : frame.bytes;
}

function wrongCount(what: string): RpcError {
  return new RpcError("unimplemented", {
    reason: "MESSAGE_COUNT_INVALID",
    message: `a unary call carries exactly one message; this one carried ${what}`,
  });
}

function unknown(compression: string): RpcError {
  return new RpcError("unimplemented", {
    reason: "COMPRESSION_UNKNOWN",
    message: `grpc-encoding "${compression.slice(0, 40)}" is not supported; use gzip, br or identity`,
  });
}

function inflate(frame: Frame, format: RequestFormat, limits: InflateLimits): Promise<Uint8Array> {
  if (format.compression === undefined)
    throw malformedFrame("a message is marked as compressed, but grpc-encoding names no compression");
  return inflateBounded(frame.bytes, format.compression, limits);
}

/** The messages of a streaming request, read as fast as the handler asks. */
export async function* readMessages(
  exchange: Exchange,
  format: RequestFormat,
  { type, limits }: { readonly type: MessageType; readonly limits: InflateLimits },
): AsyncGenerator<Payload> {
  const reader = new FrameReader(limits.maxBytes);
  for await (const chunk of exchange.chunks()) {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      const bytes = frame.compressed ? await inflate(frame, format, limits) : frame.bytes;
      if (bytes.length > limits.maxBytes) throw messageTooLarge(bytes.length, limits.maxBytes);
      yield new BytesPayload(type, bytes, format.encoding);
    }
  }
  reader.end();
}
