/** A request that may stand for several calls, as one of GraphQL or of an agent does: what those who watch have to know of it. */
import type { RpcError } from "./error.ts";
import type { Metadata } from "./metadata.ts";
import type { Peer, Protocol } from "./peer.ts";

/** What is known when the head of such a request has arrived. */
export interface RequestHead {
  /** Request id, as calls have it. */
  readonly id: string;
  readonly protocol: Protocol;
  readonly peer: Peer;
  readonly metadata: Metadata;
}

/** The trace of such a request: its calls are parts of it. Whoever traces makes it; nobody else looks into it. */
export interface TracedRequest {
  /** `traceparent` of the answer; undefined: nobody will find this trace. */
  readonly traceparent: string | undefined;
  /** Once it was read what it wants. @param name as the client calls it; undefined: it does not. */
  named(operation: string, name: string | undefined): void;
  /** When the answer is written; later ones are ignored. @param error why there was no call; undefined: the calls say how they ended. */
  end(error: RpcError | undefined): void;
}

/** A call's part of its request. */
export interface RequestPart {
  readonly trace: TracedRequest | undefined;
  /** Whether it is the request's first call: what the gateway does for all of them is counted with it. */
  readonly isFirst: boolean;
  /** Of the first: time of the request that was none of its calls', in milliseconds. */
  sharedMs: number;
  /** Of the first, which ends with the request: `std/clock` reading when it was over itself; undefined: both end at once. */
  overAtMs: number | undefined;
}
