/** A unary call by GET: the message in the query, so that caches can keep the answer. */
import { type InflateLimits, inflateBounded, isCompression } from "#gateway/codec/compression.ts";
import { checkParameters } from "#gateway/codec/query.ts";
import { RpcError } from "#rpc/error.ts";
import type { Encoding } from "#rpc/payload.ts";

export async function readGet(
  query: string,
  limits: InflateLimits & { readonly maxQueryParameters?: number | undefined },
): Promise<{ readonly encoding: Encoding; readonly bytes: Uint8Array }> {
  checkParameters(query, limits.maxQueryParameters);
  const parameters = new URLSearchParams(query);
  for (const name of ["encoding", "message", "base64", "compression"])
    if (parameters.getAll(name).length > 1) throw wrong(name, "is given more than once");
  const encoding = parameters.get("encoding");
  const message = parameters.get("message");
  if (encoding !== "json" && encoding !== "proto") throw wrong("encoding", "must be json or proto");
  if (message === null) throw wrong("message", "must be given");
  const base64 = parameters.get("base64") === "1";
  const bytes = base64 ? decode(message) : Buffer.from(message, "utf8");
  // What is no UTF-8 would come as other text than was sent.
  if (!base64 && message.includes("\uFFFD") && !isText(query))
    throw wrong("message", "has a percent-encoding that is not valid UTF-8 text; send bytes with base64=1");
  const compression = parameters.get("compression") ?? "identity";
  if (compression === "identity" || compression === "" || bytes.length === 0) return { encoding, bytes };
  if (!isCompression(compression))
    throw new RpcError("unimplemented", {
      reason: "COMPRESSION_UNKNOWN",
      message: `compression "${compression.slice(0, 40)}" is not supported; use gzip, br or identity`,
    });
  return { encoding, bytes: await inflateBounded(bytes, compression, limits) };
}

/** URL-safe or not, padded or not. */
function decode(text: string): Uint8Array {
  // A plus sign in a query is a space to whoever reads it as a form.
  const plain = text.replaceAll(" ", "+");
  const letters = /^([A-Za-z0-9+/_-]*)={0,2}$/.exec(plain)?.[1];
  // Four letters are three bytes; one that is left is none.
  if (letters === undefined || letters.length % 4 === 1) throw wrong("message", "is not base64");
  return Buffer.from(plain.replaceAll("-", "+").replaceAll("_", "/"), "base64");
}

function isText(query: string): boolean {
  try {
    decodeURIComponent(query.replaceAll("+", " "));
    return true;
  } catch {
    // A URIError is the answer.
    return false;
  }
}

function wrong(field: string, description: string): RpcError {
  return new RpcError("invalid_argument", {
    reason: "FIELD_INVALID",
    message: `${field}: ${description}`,
    metadata: { field },
  });
}
