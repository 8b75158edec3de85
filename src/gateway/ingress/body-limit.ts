/** The errors of bodies over their limits. */
import { RpcError } from "#rpc/error.ts";

export function bodyTooLarge(maxBytes: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "PAYLOAD_TOO_LARGE",
    message: `the body is larger than the ${maxBytes} bytes that are allowed`,
    metadata: { limitBytes: String(maxBytes) },
  });
}

export function tooManyPieces(pieces: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "PAYLOAD_TOO_LARGE",
    message: `the body comes in ${pieces} pieces of hardly any bytes; send it in larger ones`,
  });
}

export function bodyTooSlow(): RpcError {
  return new RpcError("deadline_exceeded", {
    reason: "REQUEST_TIMEOUT",
    message: "the request did not come in time",
  });
}
