/** A request body that may be compressed: gzip or br, as `Content-Encoding` says. */
import { type InflateLimits, inflateBounded, isCompression } from "#gateway/codec/compression.ts";
import { RpcError } from "#rpc/error.ts";
import type { Exchange } from "./exchange.ts";

/**
 * @param limits the size as sent, and as inflated.
 * @throws RpcError PAYLOAD_TOO_LARGE, ENCODING_UNSUPPORTED, MESSAGE_MALFORMED where it is not compressed as it says.
 */
export function readPackedBody(exchange: Exchange, limits: InflateLimits): Promise<Uint8Array> {
  // One promise for the whole way: five async functions around a body took longer than the body.
  return new Promise((resolve, reject) => {
    exchange.collectBody(limits.maxBytes, (error, bytes) => {
      const encoding = String(exchange.headers["content-encoding"] ?? "identity").toLowerCase();
      if (error !== undefined) reject(error);
      else if (encoding === "identity") resolve(bytes);
      else if (isCompression(encoding)) inflateBounded(bytes, encoding, limits).then(resolve, reject);
      else reject(unsupported());
    });
  });
}

function unsupported(): RpcError {
  return new RpcError("invalid_argument", {
    reason: "ENCODING_UNSUPPORTED",
    message: "content-encoding: must be gzip, br or identity",
  });
}
