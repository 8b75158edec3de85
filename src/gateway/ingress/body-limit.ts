/** The errors of bodies over their limits, and what a client that asks before it sends one is told. */
import { RpcError } from "#rpc/error.ts";
import type { RequestHeaders } from "./exchange.ts";

/** As node:http reads it. */
const continueExpected = /(?:^|\W)100-continue(?:$|\W)/i;

/**
 * Whether the client waits for a word before it sends its body (RFC 9110 section 10.1.1): it is said when the body is about to be read, so
 * who is refused before that has sent nothing in vain.
 */
export function waitsForContinue({ expect }: RequestHeaders): boolean {
  return expect !== undefined && continueExpected.test(String(expect));
}

/** Of a body that has not come yet, by what the client says of it. */
export function saysTooLarge(headers: RequestHeaders, maxBytes: number): boolean {
  return Number(headers["content-length"] ?? 0) > maxBytes;
}

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
