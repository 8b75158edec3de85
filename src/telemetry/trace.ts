/**
 * W3C trace context: read from the call, so that log lines can be found from a trace.
 *
 * @see https://www.w3.org/TR/trace-context/#traceparent-header
 */
import type { Call } from "#rpc/call.ts";

export interface Trace {
  /** 32 hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** 16 hexadecimal digits: the caller's span. */
  readonly parentId: string;
  readonly sampled: boolean;
}

/** Undefined where the caller sent none, or one that is not valid: the specification asks to start anew then. */
export function traceOf(call: Pick<Call, "metadata">): Trace | undefined {
  return parseTraceparent(call.metadata.get("traceparent"));
}

export function parseTraceparent(text: string | undefined): Trace | undefined {
  const match =
    /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/.exec(
      text ?? "",
    );
  if (match === null || (match[1] === "00" && text?.length !== 55)) return undefined;
  return {
    traceId: String(match[2]),
    parentId: String(match[3]),
    sampled: (Number.parseInt(String(match[4]), 16) & 1) === 1,
  };
}
