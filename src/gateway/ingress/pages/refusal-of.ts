/** What is no call is refused in HTTP's words; those who watch are told in ours. */
import { codes, type ErrorCode } from "#rpc/code.ts";
import { RpcError } from "#rpc/error.ts";

/** Those that more than one code has; the others are one code's. */
const usual: ReadonlyMap<number, ErrorCode> = new Map([
  [400, "invalid_argument"],
  [405, "unimplemented"],
  [409, "aborted"],
  [429, "resource_exhausted"],
  [500, "internal"],
]);

/** @returns undefined: it was not refused. */
export function refusalOf(status: number, reason: string): RpcError | undefined {
  if (status < 400) return undefined;
  const code = usual.get(status) ?? codeOf(status) ?? (status < 500 ? "invalid_argument" : "unavailable");
  if (status === 429) return new RpcError(code, { reason: "RATE_LIMITED", message: "too many requests" });
  return new RpcError(code, { reason, message: `answered with ${status}` });
}

function codeOf(status: number): ErrorCode | undefined {
  const found = Object.entries(codes).find(([, { http }]) => http === status);
  return found?.[0] as ErrorCode | undefined;
}
