/** What came in and never became a call: a path that nobody has, a head or a body that is none. */
import type { RpcError } from "./error.ts";
import type { Method } from "./method.ts";
import type { Peer, Protocol } from "./peer.ts";

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
}
