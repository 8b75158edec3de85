/** The error of a body over its limit. */
import { RpcError } from "#rpc/error.ts";

export function bodyTooLarge(maxBytes: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "PAYLOAD_TOO_LARGE",
    message: `the body is larger than the ${maxBytes} bytes that are allowed`,
    metadata: { limitBytes: String(maxBytes) },
  });
}
