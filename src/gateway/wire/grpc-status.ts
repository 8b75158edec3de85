/**
 * `grpc-status`, `grpc-message` and `grpc-status-details-bin`.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses ("Status-Message")
 */
import { toBinary } from "@bufbuild/protobuf";
import { StatusSchema } from "#gen/google/rpc/status_pb.ts";
import type { RpcError } from "#rpc/error.ts";
import { toStatus } from "./error-status.ts";

/** Details longer than this are left out: losing them is better than losing the status to a header limit. */
const maxDetailsBytes = 6144;
/** Longest `grpc-message` before encoding, for the same reason. */
const maxMessageCharacters = 1024;

/** Percent-encodes everything but printable ASCII, and the percent sign. */
export function encodeGrpcMessage(text: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(text)) return text;
  let encoded = "";
  for (const byte of Buffer.from(text, "utf8")) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** The trailers that tell a client of an error. @param requestId undefined: without details of ours. */
export function errorTrailers(error: RpcError, requestId: string | undefined): Record<string, string> {
  const trailers: Record<string, string> = {
    "grpc-status": String(error.number),
    "grpc-message": encodeGrpcMessage(error.message.slice(0, maxMessageCharacters)),
  };
  const details = toBinary(StatusSchema, toStatus(error, requestId));
  if (details.length <= maxDetailsBytes)
    trailers["grpc-status-details-bin"] = Buffer.from(details).toString("base64").replace(/=+$/, "");
  return trailers;
}
