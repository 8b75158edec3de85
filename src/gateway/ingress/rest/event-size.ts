/** How large a server-sent event may be: who reads one holds it as a whole, and so does every proxy in between. */
import { RpcError } from "#rpc/error.ts";

/** Whether a text has at most so many bytes in UTF-8; counted only where it is not plain from its length. */
export function isWithin(text: string, maxBytes: number): boolean {
  return text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes;
}

export function eventTooLarge(maxBytes: number): RpcError {
  return new RpcError("resource_exhausted", {
    reason: "EVENT_TOO_LARGE",
    message: `a message makes an event of more than ${maxBytes} bytes; ask for less, or take the stream as application/x-ndjson or over gRPC`,
    metadata: { limitBytes: String(maxBytes) },
  });
}
