/** Errors of what is no tool: the protocol's codes, with the reason in the data. */
import type { ProtocolError as ProtocolErrorType } from "@modelcontextprotocol/server";
import { type RpcError, toRpcError } from "#rpc/error.ts";

export type Library = typeof import("@modelcontextprotocol/server");

export function invalidParams(
  { ProtocolError, ProtocolErrorCode }: Library,
  message: string,
): ProtocolErrorType {
  return new ProtocolError(ProtocolErrorCode.InvalidParams, message);
}

/** @param uri of the resource that was asked for; undefined: it was no resource. */
export function protocolFailure(library: Library, thrown: unknown, uri?: string): Error {
  const { ProtocolError, ProtocolErrorCode, ResourceNotFoundError } = library;
  if (thrown instanceof ProtocolError) return thrown;
  const error: RpcError = toRpcError(thrown);
  if (error.code === "not_found" && uri !== undefined) return new ResourceNotFoundError(uri, error.message);
  const isMistake = error.code === "invalid_argument" || error.code === "not_found";
  return new ProtocolError(
    isMistake ? ProtocolErrorCode.InvalidParams : ProtocolErrorCode.InternalError,
    `${error.reason}: ${error.message}`,
    { reason: error.reason, code: error.code },
  );
}
