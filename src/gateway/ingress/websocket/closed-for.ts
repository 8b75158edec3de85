/** Why a socket is closed, for those who watch: what clients are told by the code. */
import { RpcError } from "#rpc/error.ts";
import { closeCodes } from "./close-codes.ts";

/**
 * @param cause what went wrong here, where something did.
 * @returns undefined: it is closed for nothing that its client did.
 */
export function closedFor(code: number, message: string, cause?: unknown): RpcError | undefined {
  switch (code) {
    // RFC 6455 section 7.4.1: a protocol error, a kind of data that is not taken, text that is no UTF-8.
    case 1002:
    case 1003:
    case 1007:
    case closeCodes.badFrame:
    case closeCodes.duplicateId:
    case closeCodes.tooMany:
    case closeCodes.subprotocol:
      return new RpcError("invalid_argument", { reason: "SOCKET_FRAME_INVALID", message });
    case closeCodes.policy:
      return new RpcError("resource_exhausted", { reason: "SOCKET_FRAMES_LIMITED", message });
    case 1009:
      return new RpcError("resource_exhausted", { reason: "SOCKET_FRAME_TOO_LARGE", message });
    case closeCodes.initTimeout:
      return new RpcError("deadline_exceeded", { reason: "SOCKET_SILENT", message });
    case closeCodes.unauthenticated:
    case closeCodes.forbidden:
      return new RpcError("unauthenticated", { reason: "SOCKET_UNAUTHENTICATED", message });
    case closeCodes.graphqlInternal:
      return new RpcError("internal", { reason: "INTERNAL", message: "internal error", cause });
    default:
      return undefined;
  }
}

/** What the library closes a socket for by itself, and tells as an error; undefined: the connection broke. */
export function brokenFor({ code = "", message }: NodeJS.ErrnoException): RpcError | undefined {
  if (!code.startsWith("WS_ERR_")) return undefined;
  if (code.endsWith("_LENGTH") && code.startsWith("WS_ERR_UNSUPPORTED")) return closedFor(1009, message);
  return closedFor(code === "WS_ERR_TOO_MANY_BUFFERED_PARTS" ? closeCodes.policy : 1002, message);
}
