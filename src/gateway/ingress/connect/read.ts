/** The request half of Connect: content types, metadata, timeout, messages. */
import { type InflateLimits, inflateBounded, isCompression } from "#gateway/codec/compression.ts";
import { FrameReader, malformedFrame } from "#gateway/wire/grpc-frames.ts";
import { RpcError, toRpcError } from "#rpc/error.ts";
import { Metadata, type MetadataValue } from "#rpc/metadata.ts";
import { BytesPayload, type Encoding, type MessageType, type Payload } from "#rpc/payload.ts";
import { checkBinaries, isWithheld } from "../client-headers.ts";
import type { BodyListener, Exchange, RequestHeaders } from "../exchange.ts";

export const unaryTypes: ReadonlyMap<string, Encoding> = new Map([
  ["application/json", "json"],
  ["application/proto", "proto"],
]);
export const streamTypes: ReadonlyMap<string, Encoding> = new Map([
  ["application/connect+json", "json"],
  ["application/connect+proto", "proto"],
]);

/** Headers that are no metadata, besides those that no service sees. */
const transportHeaders = new Set(["accept", "accept-encoding", "content-encoding", "content-type"]);

/** @throws RpcError METADATA_INVALID. */
export function readMetadata(headers: RequestHeaders): Metadata {
  checkBinaries(headers);
  return new Metadata(() => metadataOf(headers), headers);
}

function* metadataOf(headers: RequestHeaders): Generator<readonly [string, MetadataValue]> {
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || isWithheld(name) || name.startsWith("connect-")) continue;
    if (transportHeaders.has(name)) continue;
    for (const text of Array.isArray(value) ? value : [value])
      if (!name.endsWith("-bin")) yield [name, text];
      else
        for (const part of text.split(",")) yield [name, new Uint8Array(Buffer.from(part.trim(), "base64"))];
  }
}

/** `Connect-Timeout-Ms`: at most ten digits. @throws RpcError TIMEOUT_INVALID. */
export function readTimeout(headers: RequestHeaders): number | undefined {
  const text = headers["connect-timeout-ms"];
  if (text === undefined) return undefined;
  if (/^\d{1,10}$/.test(String(text))) return Number(text);
  throw new RpcError("invalid_argument", {
    reason: "TIMEOUT_INVALID",
    message: "connect-timeout-ms: must be one to ten digits, milliseconds",
    metadata: { header: "connect-timeout-ms" },
  });
}

/**
 * The body of a unary call; `done` runs once, at once where there is nothing to inflate. Errors: PAYLOAD_TOO_LARGE, MESSAGE_MALFORMED.
 * @throws RpcError COMPRESSION_UNKNOWN.
 */
export function collectInflated(exchange: Exchange, limits: InflateLimits, done: BodyListener): void {
  const compression = compressionOf(exchange.headers["content-encoding"], "content-encoding");
  exchange.collectBody(limits.maxBytes, (error, body) => {
    if (error !== undefined || compression === undefined || body.length === 0) {
      done(error, body);
      return;
    }
    inflateBounded(body, compression, limits).then(
      (inflated) => done(undefined, inflated),
      (thrown: unknown) => done(toRpcError(thrown), body),
    );
  });
}

/** Undefined: none. @throws RpcError COMPRESSION_UNKNOWN. */
function compressionOf(given: string | string[] | undefined, header: string) {
  const name = String(given ?? "identity").toLowerCase();
  if (name === "identity" || name === "") return undefined;
  if (isCompression(name)) return name;
  throw new RpcError("unimplemented", {
    reason: "COMPRESSION_UNKNOWN",
    message: `${header} "${name.slice(0, 40)}" is not supported; use gzip, br or identity`,
  });
}

/** The messages of a stream's request, read as fast as the handler asks. */
export async function* readMessages(
  exchange: Exchange,
  options: { readonly type: MessageType; readonly encoding: Encoding; readonly limits: InflateLimits },
): AsyncGenerator<Payload> {
  const { type, encoding, limits } = options;
  const header = "connect-content-encoding";
  const compression = compressionOf(exchange.headers[header], header);
  const reader = new FrameReader(limits.maxBytes);
  for await (const chunk of exchange.chunks()) {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      if (frame.compressed && compression === undefined)
        throw malformedFrame(`a message is marked as compressed, but ${header} names no compression`);
      const bytes =
        frame.compressed && compression !== undefined && frame.bytes.length > 0
          ? await inflateBounded(frame.bytes, compression, limits)
          : frame.bytes;
      yield new BytesPayload(type, bytes, encoding);
    }
  }
  reader.end();
}
