/** What came in and never became a call: a path that nobody has, a head or a body that is none. */
import type { RpcError } from "./error.ts";
import type { Method } from "./method.ts";
import type { Peer, Protocol } from "./peer.ts";
import type { Principal } from "./principal.ts";
import type { TracedRequest } from "./request.ts";

export interface Refusal {
  /** Request id, as calls have it. */
  readonly id: string;
  readonly protocol: Protocol;
  /** Undefined: what was asked for is no method of the contract. */
  readonly method: Method | undefined;
  readonly peer: Peer;
  readonly error: RpcError;
  /** `std/clock` reading, in milliseconds, when the head of the request had arrived. */
  readonly startedAtMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** What the client said of its trace; absent: nothing, or nobody could tell. */
  readonly trace?: TraceHeaders;
  /** Who asked, where that is known by then. */
  readonly principal?: Principal | undefined;
  /** Of what came as plain HTTP: the method, the raw path, and the status of the answer. */
  readonly httpMethod?: string;
  readonly path?: string;
  readonly httpStatus?: number;
  /** The request that it is the end of, where that is traced. */
  readonly request?: TracedRequest | undefined;
}

/** @see https://www.w3.org/TR/trace-context/ */
export interface TraceHeaders {
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
}

/** Of headers, whatever else is in them. */
export function traceHeadersOf(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): TraceHeaders {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== "string") return {};
  return { traceparent, tracestate: tracestate === undefined ? undefined : String(tracestate) };
}
