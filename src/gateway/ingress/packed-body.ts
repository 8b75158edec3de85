/** A request body that may be compressed: gzip or br, as `Content-Encoding` says. */
import { type InflateLimits, inflateBounded, isCompression } from "#gateway/codec/compression.ts";
import { RpcError } from "#rpc/error.ts";
import type { Exchange } from "./exchange.ts";

/**
 * @param limits the size as sent, and as inflated.
 * @throws RpcError PAYLOAD_TOO_LARGE, ENCODING_UNSUPPORTED, MESSAGE_MALFORMED where it is not compressed as it says.
 */
export async function readPackedBody(exchange: Exchange, limits: InflateLimits): Promise<Uint8Array> {
  const bytes = await exchange.readBody(limits.maxBytes);
  const encoding = String(exchange.headers["content-encoding"] ?? "identity").toLowerCase();
  if (encoding === "identity") return bytes;
  if (isCompression(encoding)) return await inflateBounded(bytes, encoding, limits);
  throw new RpcError("invalid_argument", {
    reason: "ENCODING_UNSUPPORTED",
    message: "content-encoding: must be gzip, br or identity",
  });
}
