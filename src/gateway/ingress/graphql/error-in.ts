/** What a query was refused for, as an error of ours. */
import type { GraphQLError } from "graphql";
import { codes, type ErrorCode } from "#rpc/code.ts";
import { RpcError } from "#rpc/error.ts";

/** What a query was refused for, for those who watch; undefined: for nothing. */
export function errorIn([first]: readonly GraphQLError[]): RpcError | undefined {
  if (first === undefined) return undefined;
  const { code: label, reason } = first.extensions;
  const [code = "invalid_argument"] =
    Object.entries(codes).find(
      (entry): entry is [ErrorCode, (typeof entry)[1]] => entry[1].label === label,
    ) ?? [];
  return new RpcError(code, {
    reason: typeof reason === "string" ? reason : "QUERY_INVALID",
    message: first.message,
  });
}
